"""A run at work on a group of ranks: what was sent, and what each rank has said of it. Pure."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from rhapsody_parsl.runtimes.mpi.rendezvous import variables_of_ranks
from rhapsody_parsl.runtimes.mpi.world.gang import Member, members_of
from rhapsody_parsl.runtimes.protocol import Run
from rhapsody_parsl.wire.messages import ECHO, RAISED, RESULT, Result, Task

__all__ = ("Job",)


class _Sent:
    """A task with the ranks: how many have not reported, rank 0's result, the failure that counts."""

    __slots__ = ("_place", "failure", "missing", "root", "task")

    def __init__(self, task: Task, ranks: int) -> None:
        self.task, self.missing = task, ranks
        self.root: Result | None = None
        self.failure: Result | None = None
        self._place = (True, ranks)

    def fail(self, position: int, result: Result) -> None:
        """Note what a rank failed with: a cause counts before what it made others raise, then the lowest rank."""
        place = (result.kind == ECHO, position)
        if place < self._place:
            self._place = place
            self.failure = msgspec.structs.replace(result, kind=RAISED) if place[0] else result


class Job:
    """The tasks of one run.

    A task ends when all its ranks have: with the failure of the lowest rank that failed by itself, else with that of
    the lowest that failed because of others, else with rank 0's result.

    Args:
        run: The run.
        variables: Environment variables of all its ranks.

    Attributes:
        run: The run.
        variables: See above.
        alone: Whether each task gets a world of its own.
        of_ranks: Environment variables of each rank.
        members: The run's ranks, in the group's order; their numbers hold for the world it is on.
        queue: Tasks not sent yet.
        ending: Whether its ranks are being ended, or frozen, under it.
    """

    def __init__(self, run: Run, variables: Mapping[str, str] | None = None) -> None:
        self.run, self.variables = run, variables or {}
        self.alone = run.spec.policy.isolation == "process"
        self.members: tuple[Member, ...] = members_of(run)
        self.of_ranks = variables_of_ranks([member.placed.node.host for member in self.members])
        self.queue: deque[Task] = deque()
        self.ending = False
        self._sent: dict[int, _Sent] = {}
        self._position: dict[int, int] = {}

    @property
    def open(self) -> list[int]:
        """Tasks with the ranks, in the order sent."""
        return list(self._sent)

    @property
    def tasks(self) -> list[int]:
        """Every unfinished task."""
        return [*self._sent, *(task.id for task in self.queue)]

    @property
    def stuck(self) -> int:
        """The first task that a rank failed and others have not ended; 0 when there is none."""
        return next((task for task, sent in self._sent.items() if sent.failure), 0)

    @property
    def ranks(self) -> tuple[int, ...]:
        """World ranks in the group's order."""
        return tuple(member.rank for member in self.members)

    def assign(self, members: tuple[Member, ...]) -> None:
        """Take these ranks of a world."""
        self.members = members
        self._position = {member.rank: position for position, member in enumerate(members)}

    def send(self) -> list[Task]:
        """Take what is to be sent now: all that waits, or one task when each has a world of its own."""
        count = len(self.queue) if not self.alone else min(1, len(self.queue))
        tasks = [self.queue.popleft() for _ in range(count)]
        for task in tasks:
            self._sent[task.id] = _Sent(task, len(self.members))
        return tasks

    def begun(self, last: Iterable[int | None]) -> int:
        """Return how many of the tasks sent may have begun: the first ones, for the ranks take them in order.

        Args:
            last: The task that each of its ranks began last, which may be another run's; None where nobody knows.
        """
        places: dict[int | None, int] = {task: place for place, task in enumerate(self._sent, 1)}
        places[None] = len(self._sent)
        return max(places.get(task, 0) for task in last)

    def report(self, rank: int, results: Iterable[Result]) -> list[Result]:
        """Note what a rank says; return the results of the tasks that have ended with it."""
        position = self._position[rank]
        ended = []
        for result in results:
            sent = self._sent.get(result.id)
            if sent is None:
                continue
            sent.missing -= 1
            if result.kind != RESULT:
                sent.fail(position, result)
            elif position == 0:
                sent.root = result
            if sent.missing == 0:
                del self._sent[result.id]
                ended.append(sent.failure or sent.root or result)
        return ended

    def recall(self, tasks: Sequence[int]) -> list[int]:
        """Take tasks out of the queue; return those that were there."""
        wanted = set(tasks)
        taken = [task.id for task in self.queue if task.id in wanted]
        if taken:
            self.queue = deque(task for task in self.queue if task.id not in wanted)
        return taken

    def recalled(self, tasks: Sequence[int]) -> list[int]:
        """The ranks will not run these; return those that were with them."""
        return [task for task in tasks if self._sent.pop(task, None)]

    def disregard_failures(self) -> None:
        """A rank ended, and what the others raised since is no answer of the task."""
        for sent in self._sent.values():
            sent.failure = None

    def leave_world(self) -> list[Result]:
        """The ranks are gone: return the failure they left; what was behind it had not begun and waits again."""
        self.ending = False
        stuck = self._sent.get(self.stuck)
        if stuck is None or stuck.failure is None or next(iter(self._sent)) != stuck.task.id:
            return []
        behind = [sent.task for sent in self._sent.values()][1:]
        self.queue.extendleft(reversed(behind))
        self._sent.clear()
        return [stuck.failure]
