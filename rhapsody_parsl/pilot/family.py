"""Which task submitted which: numbers of the block's own, answers to their processes, and ends with their parents."""

from collections.abc import Hashable, Sequence

import msgspec

from rhapsody_parsl.pilot.holdings import DRIVER, Holdings
from rhapsody_parsl.wire.messages import Result, Task

__all__ = ("FIRST", "Family")

FIRST = 1 << 48
"""Numbers from here on are the block's; the driver counts its own from one."""


class _Child(msgspec.Struct):
    """A task that a task submitted.

    Attributes:
        parent: The number of that.
        peer: Whom to answer.
        number: How that calls it.
        keep: Whether it lives on when its parent ends.
        depth: How many tasks are above it.
    """

    parent: int
    peer: Hashable
    number: int
    keep: bool
    depth: int


class Family:
    """The tasks of a block that other tasks submitted, until their results have been taken.

    Attributes:
        parents: Tasks that have submitted some which have not ended, with these.
        orphans: Tasks whose parent has ended, and that are to end with it.
        released: Tasks whose parent has ended, and that live on.
        unread: Results that nobody waits for.
        died: Tasks whose own process has died, and may have been writing a value.
        has_begun: Whether a task has ever submitted one.
        agents: Tasks of which is noted when they end, or are to start anew.
        agents_over: Those that did.
        proven: Tasks of agents that have done well since they started: earlier losses do not count any more.
        holdings: Which of them need which values.
    """

    def __init__(self) -> None:
        self.parents: dict[int, dict[int, None]] = {}
        self.orphans: list[int] = []
        self.released: list[int] = []
        self.unread: list[Result] = []
        self.died: list[int] = []
        self._children: dict[int, _Child] = {}
        self._numbers: dict[tuple[Hashable, int], int] = {}
        self._answers: dict[Hashable, list[Result]] = {}
        self._count = FIRST
        self.has_begun = False
        self.agents: set[int] = set()
        self.agents_over: list[int] = []
        self.proven: set[int] = set()
        self.holdings = Holdings()

    def __contains__(self, task: int) -> bool:
        return task >= FIRST

    def adopt(self, parent: int, peer: Hashable, tasks: Sequence[Task], keep: bool) -> list[Task]:
        """Take in what a task has submitted; return it under numbers of ours."""
        self.has_begun = True
        depth, known, adopted = self.depth_of(parent) + 1, self.parents.setdefault(parent, {}), []
        for task in tasks:
            number, self._count = self._count, self._count + 1
            self._children[number] = _Child(parent, peer, task.id, keep, depth)
            self._numbers[peer, task.id] = number
            known[number] = None
            for key, size in task.takes:
                self.holdings.hold(_user(number), key, size)
            adopted.append(msgspec.structs.replace(task, id=number))
        return adopted

    def parent_of(self, task: int) -> int:
        """Return the number of the task that submitted one; 0 for the driver's."""
        child = self._children.get(task)
        return child.parent if child else 0

    def asker(self, task: int) -> tuple[int, Hashable, int] | None:
        """Return the parent of a task, its process, and how that calls the task; None for one that nobody waits for."""
        child = self._children.get(task)
        return (child.parent, child.peer, child.number) if child and child.peer is not None else None

    def depth_of(self, task: int) -> int:
        """Return how many tasks are above one."""
        child = self._children.get(task)
        return child.depth if child else 0

    def reader_of(self, task: int) -> tuple[Hashable, int]:
        """Return whom to give the pieces of one, and how that calls it; None where nobody waits for it."""
        child = self._children.get(task)
        return (child.peer, child.number) if child else (None, 0)

    def number_of(self, peer: Hashable, number: int) -> int:
        """Return our number of a task that a process calls by its own; 0 for one that has ended."""
        return self._numbers.get((peer, number), 0)

    def over(self, parent: int) -> None:
        """A task has ended, or is to start anew: those that it submitted are to end, or live on by themselves."""
        if parent in self.agents:
            self.agents.discard(parent)
            self.proven.discard(parent)
            self.agents_over.append(parent)
        self.holdings.over(parent)
        for number in self.parents.pop(parent, ()):
            child = self._children[number]
            self._numbers.pop((child.peer, child.number), None)
            if child.keep:
                child.peer = None
                self.released.append(number)
            else:
                self._forget(number)
                self.orphans.append(number)

    @property
    def needs_word(self) -> bool:
        """Whether to be told of each task that ends."""
        return bool(self.parents or self.agents or self.holdings)

    def given(self, result: Result) -> None:
        """A task has ended well, and who gets its result has the handles in it."""
        child = self._children.get(result.id)
        if result.id >= FIRST and (child is None or child.peer is None):
            self.unread_values(result)
            return
        for key, size in result.gives:
            self.holdings.hold(child.parent if child else DRIVER, key, size)

    def unread_values(self, result: Result) -> None:
        """Nobody gets the handles in a result."""
        for key, _ in result.gives:
            self.holdings.unheld(key)

    def take_orphans(self) -> list[int]:
        """Return the orphans since the last call."""
        orphans, self.orphans = self.orphans, []
        return orphans

    def take_agents_over(self) -> list[int]:
        """Return the tasks of agents that have ended, or are to start anew, since the last call."""
        over, self.agents_over = self.agents_over, []
        return over

    def take_died(self) -> list[int]:
        """Return those whose own process has died, since the last call."""
        died, self.died = self.died, []
        return died

    def take_released(self) -> list[int]:
        """Return those that live on, since the last call."""
        released, self.released = self.released, []
        return released

    def drop(self, peer: Hashable, numbers: Sequence[int]) -> list[int]:
        """A process wants these no more; return our numbers of those that had not ended."""
        dropped = [own for number in numbers if (own := self._numbers.pop((peer, number), 0))]
        for own in dropped:
            self._remove(own)
        return dropped

    def sort(self, results: Sequence[Result]) -> list[Result]:
        """Return the driver's of some results; the others are kept for whoever submitted their tasks."""
        for result in results:
            if result.id >= FIRST:
                self._answer(result)
        return [result for result in results if result.id < FIRST]

    def _answer(self, result: Result) -> None:
        child = self._remove(result.id)
        if child is None or child.peer is None:
            self.unread.append(result)
            return
        del self._numbers[child.peer, child.number]
        if result.told:
            return
        self._answers.setdefault(child.peer, []).append(msgspec.structs.replace(result, id=child.number))

    def _remove(self, number: int) -> _Child | None:
        child = self._forget(number)
        if child and (others := self.parents.get(child.parent)):
            others.pop(number, None)
            if not others:
                del self.parents[child.parent]
        return child

    def _forget(self, number: int) -> _Child | None:
        """A task needs nothing any more."""
        self.holdings.over(_user(number))
        return self._children.pop(number, None)

    def take_answers(self) -> dict[Hashable, list[Result]]:
        """Return the results since the last call, by whom they are for."""
        answers, self._answers = self._answers, {}
        return answers

    def take_unread(self) -> list[Result]:
        """Return the results since the last call that nobody waits for: their files can go."""
        unread, self.unread = self.unread, []
        return unread


def _user(number: int) -> Hashable:
    """Return who needs what a task takes, as long as it has not ended; its own handles are those of its process."""
    return "takes", number
