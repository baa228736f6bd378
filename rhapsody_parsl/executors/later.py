"""Tasks that no block has the time for, and that wait for the next one."""

from rhapsody_parsl.executors.blocks import Block
from rhapsody_parsl.wire.messages import Task

__all__ = ("MOST_IDLE_RETURNS", "Later")

MOST_IDLE_RETURNS = 3
"""So many blocks may start for a task alone and have no time for it: the next ones would not either."""


class Later:
    """They wait here and not in the queue: only a new block can change anything for them."""

    def __init__(self) -> None:
        self._tasks: dict[int, Task] = {}
        self._returns: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._tasks)

    @property
    def tasks(self) -> list[Task]:
        """All of them, in order."""
        return list(self._tasks.values())

    def put(self, task: Task) -> None:
        """No block has the time for a task."""
        self._tasks[task.id] = task

    def take(self, task: int) -> Task | None:
        """Take out a task that nobody wants any more; None when it is not here."""
        return self._tasks.pop(task, None)

    def take_all(self) -> list[Task]:
        """Take out all, in order: a block has come."""
        taken = list(self._tasks.values())
        self._tasks.clear()
        return taken

    def returned(self, block: Block, task: Task, walltime: float) -> bool:
        """A block has handed a task back, for it would end before; return whether there is hope for the task.

        The block gets nothing more that takes as long. There is no hope when several blocks have done so that had
        nothing else to do: what starts in them first, such as a runtime, takes the time that the task needs.
        """
        block.too_long = min(block.too_long, walltime)
        if block.served or block.tasks:
            return True
        count = self._returns[task.id] = self._returns.get(task.id, 0) + 1
        return count < MOST_IDLE_RETURNS

    def forget(self, task: int) -> None:
        """A task is over."""
        if self._returns:
            self._returns.pop(task, None)
