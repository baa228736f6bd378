"""Which block has an agent, and the messages for agents that no block has: pure."""

from collections import deque
from collections.abc import Callable, Sequence

from rhapsody_parsl.annotations.task_spec import MAILBOX, TaskSpec
from rhapsody_parsl.executors.blocks import Block
from rhapsody_parsl.wire.messages import Task

__all__ = ("Mailbag", "take_out")


class Mailbag:
    """Messages go to the block that has their agent, and wait while none has it."""

    def __init__(self) -> None:
        self._where: dict[str, str] = {}
        self._held: dict[str, deque[Task]] = {}
        self._over: set[str] = set()

    @property
    def tasks(self) -> list[Task]:
        """Return the messages that wait."""
        return [task for held in self._held.values() for task in held]

    def placed(self, name: str, block: str) -> list[Task]:
        """A block has an agent now; return what waited for that."""
        self._where[name] = block
        self._over.discard(name)
        return list(self._held.pop(name, ()))

    def follow(self, block: Block, tasks: Sequence[Task], spec_of: Callable[[Task], TaskSpec]) -> list[Task]:
        """A block has returned tasks: if there are agents among them, return the messages that it still has for those.

        Args:
            block: It has them no more.
            tasks: What it has returned.
            spec_of: Returns the specification of a task.
        """
        agents = {name for task in tasks if (name := spec_of(task).mailbox)}
        for name in agents:
            self._where.pop(name, None)
        theirs = [task for task in block.tasks.values() if _recipient(spec_of(task)) in agents] if agents else []
        return [taken for task in theirs if (taken := block.take(task.id, block.heard))]

    def where(self, name: str) -> str:
        """Return the number of the block that has an agent, "" where none has."""
        return self._where.get(name, "")

    def hold(self, name: str, task: Task) -> bool:
        """Have a message wait for its agent; False when that has ended."""
        if name in self._over:
            return False
        self._held.setdefault(name, deque()).append(task)
        return True

    def take(self, task: int) -> Task | None:
        """Take out a message that nobody wants any more; None when it is not here."""
        return next((item for held in self._held.values() if (item := take_out(held, task))), None)

    def over(self, name: str) -> list[Task]:
        """An agent has ended; return what waited for it."""
        self._over.add(name)
        self._where.pop(name, None)
        return list(self._held.pop(name, ()))


def _recipient(spec: TaskSpec) -> str:
    return spec.service if spec.runtime == MAILBOX else ""


def take_out(tasks: deque[Task], number: int) -> Task | None:
    """Take a task out of some, None when it is not among them."""
    for task in tasks:
        if task.id == number:
            tasks.remove(task)
            return task
    return None
