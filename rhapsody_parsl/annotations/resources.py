"""What one task takes from the block, as a checked value."""

import msgspec

from rhapsody_parsl.annotations.groups import RankGroup, with_gpus

__all__ = ("Part", "Resources")


class Resources(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The resources of one task, checked and complete.

    Attributes:
        cores: Cores of a task that is one process (not MPI); 0 takes none.
        gpus: GPUs of such a task: a whole number, or a share of one GPU below 1.
        memory: Memory in GB (10**9 bytes) of the task or, for MPI, of the whole task on each node; 0 is unaccounted.
        num_ranks: MPI ranks in all; 0 when the task is not MPI.
        num_nodes: Nodes the ranks are spread over; 0 leaves it to the scheduler.
        ranks_per_node: Ranks on each node; 0 leaves it to the scheduler.
        cores_per_rank: Cores of each rank.
        gpus_per_rank: GPUs of each rank: whole, or a share below 1.
        launcher_options: Words added to the MPI launcher's command line, unread.
        groups: Groups of these ranks, which have a program each; () when all have the same.
    """

    cores: int = 1
    gpus: float = 0.0
    memory: float = 0.0
    num_ranks: int = 0
    num_nodes: int = 0
    ranks_per_node: int = 0
    cores_per_rank: int = 1
    gpus_per_rank: float = 0.0
    launcher_options: str = ""
    groups: tuple[RankGroup, ...] = ()

    @property
    def is_mpi(self) -> bool:
        """Whether the task is a gang of ranks."""
        return bool(self.num_ranks or self.num_nodes)

    @property
    def is_mixed(self) -> bool:
        """Whether some of its ranks have GPUs and others none."""
        return bool(self.gpus_per_rank) and not all(group.gpus for group in self.groups)

    @property
    def gpu_ranks(self) -> int:
        """How many of its ranks have GPUs, if it says how many ranks it has."""
        return sum(group.ranks for group in self.groups if group.gpus) if self.is_mixed else self.num_ranks

    def part(self, ranks: int, first: int = 0) -> "Part":
        """Return what some ranks of this task take of one node.

        Args:
            ranks: How many.
            first: The number of the first of them, for it decides who has GPUs where not all have.
        """
        with_some = sum(with_gpus(self.groups, first, ranks)) if self.is_mixed else ranks
        return Part(
            cores=ranks * self.cores_per_rank,
            gpus=round(with_some * self.gpus_per_rank, 6),
            gpu_unit=self.gpus_per_rank,
            memory=self.memory,
            ranks=ranks,
        )

    def single(self) -> "Part":
        """Return what this task takes of its one node when it is not MPI."""
        return Part(cores=self.cores, gpus=self.gpus, gpu_unit=self.gpus, memory=self.memory, ranks=0)


class Part(msgspec.Struct, frozen=True, gc=False):
    """A request against one node.

    Attributes:
        cores: Number of cores.
        gpus: GPUs in all (ranks times share).
        gpu_unit: GPUs of one process: a share below 1 never straddles two GPUs.
        memory: GB.
        ranks: MPI ranks that live in it; 0 for a single process.
    """

    cores: int
    gpus: float = 0.0
    gpu_unit: float = 0.0
    memory: float = 0.0
    ranks: int = 0
