"""A host of the block as the batch system lists it."""

from collections.abc import Sequence

import msgspec

from rhapsody_parsl.cluster.names import is_host

__all__ = ("Listed", "is_host")


class Listed(msgspec.Struct, frozen=True):
    """A host and what is ours of it.

    Attributes:
        name: The batch system's name for it.
        cores: How many are ours; 0 where it does not say.
        memory: GB that are ours; 0 where it does not say.
        labels: For `Policy(labels=...)`.
        gpus: How many are ours; 0 where it does not say.
        slots: Which of the host's cores are ours, counted from its first; () where it does not say.
    """

    name: str
    cores: int = 0
    memory: float = 0.0
    labels: tuple[str, ...] = ()
    gpus: int = 0
    slots: tuple[int, ...] = ()

    def ours(self, seen: Sequence[int]) -> Sequence[int]:
        """Return our cores.

        Args:
            seen: Those that a process of ours there may use; fewer than the host's where something binds it.
        """
        if self.slots and max(self.slots) < len(seen):
            return [seen[slot] for slot in self.slots]
        return seen[: self.cores or None]
