"""What a task asks of each node that it uses."""

from collections.abc import Hashable

import msgspec

from rhapsody_parsl.annotations.resources import Part, Resources
from rhapsody_parsl.annotations.task_spec import TaskSpec
from rhapsody_parsl.pilot.account import Account

__all__ = ("Demand",)


class Demand:
    """What of a spec decides which nodes can hold a part of it, and how much each of them counts.

    A task that is no gang needs one node. A gang that names a number of nodes needs so many, with equally many ranks on
    each; without a number of ranks, one for each core of whole nodes. Any other gang needs so many ranks anywhere.
    Where only some ranks have GPUs these are not asked of each node; who places the gang counts them (`grouped`).

    Args:
        spec: The task's.

    Attributes:
        memory: GB of each node.
        whole: Whether nodes must be untouched.
        least: Free cores that a node must have.
        labels: That a node must carry.
        needs: How many nodes, or how many ranks, in all.
        per_rank: For a gang on any nodes: cores of a rank; 0 for others, whose nodes count as one each.
        plain: Whether nothing but free cores, or an untouched node, is asked.
        gpus: Of each rank, or of the task.
        single: Whether it is no gang.
        by_size: Whether it is none, and nothing but free cores and memory is asked.
    """

    __slots__ = (
        "_apart", "_key", "_part", "_spec", "by_size",
        "gpus", "labels", "least", "memory", "needs", "per_rank", "plain", "single", "whole",
    )  # fmt: skip

    def __init__(self, spec: TaskSpec) -> None:
        resources, policy = spec.resources, spec.policy
        self._spec, self._apart = spec, resources.groups if resources.is_mixed else None
        if resources.is_mixed:
            resources = msgspec.structs.replace(resources, gpus_per_rank=0.0)
        self._key: Hashable | None = None
        self.memory = resources.memory
        self.labels = frozenset(policy.labels)
        self.per_rank = 0
        gang = resources.is_mpi
        self.single = not gang
        self.whole = policy.placement == "exclusive" or (gang and not resources.num_ranks)
        self._part: Part | None
        if not gang:
            self.needs, self._part = 1, resources.single()
        elif not resources.num_nodes:
            self.needs, self._part = resources.num_ranks, resources.part(1)
            self.per_rank = max(1, resources.cores_per_rank)
        else:
            each = resources.ranks_per_node
            self.needs, self._part = resources.num_nodes, resources.part(each) if each else None
        self.least = self._part.cores if self._part else resources.cores_per_rank
        self.gpus = resources.gpus_per_rank if gang else resources.gpus
        self.plain = not (self.labels or self.memory or self.gpus)
        self.by_size = not (gang or self.labels or self.gpus or self.whole)

    @property
    def mixed(self) -> Resources | None:
        """What a gang asks of which only some ranks have GPUs; None for all others."""
        return self._spec.resources if self._apart else None

    @property
    def key(self) -> Hashable:
        """The same for all that can use the same nodes."""
        if self._key is None:  # most are asked for it never, or often
            self._key = (
                self._part, self.memory, self.gpus, self.least, self.whole, self.labels, self.per_rank, self._apart,
            )  # fmt: skip
        return self._key

    @property
    def size(self) -> float:
        """In what those differ that are alike but for one number: of a gang what it needs, of others the memory."""
        return self.memory if self.single else self.needs

    @property
    def ladder(self) -> Hashable:
        """The same for all that are alike but for their size."""
        return (self.gpus, self.least, self.whole, self.labels) if self.single else self.key

    def part_on(self, account: Account) -> Part:
        """Return what is asked of a node; for a gang on any nodes, by one rank."""
        resources = self._spec.resources
        return self._part or resources.part(len(account.node.cores) // resources.cores_per_rank)

    def holds(self, account: Account) -> int:
        """Return how much of what is needed a node can hold now: 0 or 1, or a number of ranks."""
        if account.free_cores < self.least or (self.whole and not account.untouched):
            return 0
        if self.labels and not self.labels <= account.labels:
            return 0
        part = self._part or self.part_on(account)
        return account.ranks(part) if self.per_rank else int(account.fits(part))

    def would_hold(self, account: Account, back: Part) -> bool:
        """Whether a node could hold a part if so much more of it were free."""
        cores = account.free_cores + back.cores
        if self.least > cores or self.memory > account.memory + back.memory or not self.labels <= account.labels:
            return False
        if self.whole:
            return cores == len(account.node.cores)
        return not self.gpus or self.part_on(account).gpus <= account.free_gpus + back.gpus

    def with_memory(self, memory: float) -> "Demand":
        """Return the same with other memory."""
        resources = msgspec.structs.replace(self._spec.resources, memory=memory)
        return Demand(msgspec.structs.replace(self._spec, resources=resources))
