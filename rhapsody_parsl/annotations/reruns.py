"""Whether a task that was lost runs again: one rule for all who may run it again."""

from rhapsody_parsl.annotations.policy import PolicyValue

__all__ = ("MOST_RERUNS", "Reruns")

MOST_RERUNS = 3
"""How often a task runs again in a block with `on_loss="rerun"`, and how often it goes to another block."""


class Reruns:
    """How often tasks ran again; a task that takes its process down must not take all, one after the other."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}

    def __len__(self) -> int:
        """How many tasks are remembered."""
        return len(self._counts)

    def allow(self, task: int, policy: PolicyValue) -> bool:
        """Whether a task that may have begun and was lost runs again; when it does, that counts.

        Args:
            task: Its number.
            policy: Its.
        """
        count = self._counts.get(task, 0)
        if policy.on_loss != "rerun" or count >= MOST_RERUNS:
            return False
        self._counts[task] = count + 1
        return True

    def forget(self, task: int) -> None:
        """A task is over; it may be one that never ran again."""
        if self._counts:
            self._counts.pop(task, None)
