"""When runs are expected to give back what they hold: by walltimes, else by what their like took."""

import math
from collections.abc import Callable

from rhapsody_parsl.annotations.task_spec import TaskSpec
from rhapsody_parsl.pilot.account import Account
from rhapsody_parsl.pilot.demand import Demand
from rhapsody_parsl.pilot.lane import ActiveRun, Lane
from rhapsody_parsl.pilot.lengths import Lengths
from rhapsody_parsl.pilot.took import Took
from rhapsody_parsl.wire.messages import Task

__all__ = ("ExpectedEnds",)


class ExpectedEnds:
    """The runs on each node, and when they are expected to end.

    A task takes what its like took, and no more than its walltime. Where none of its like has ended and it has no
    walltime, it takes what all others took. What nobody can know is infinitely far away: the end of a service, and all
    while no task has ended.

    Args:
        spec_of: Returns a task's spec.

    Attributes:
        sooner: Counts how often the tasks of a lane were seen to take half of what they were expected to, or less.
    """

    def __init__(self, spec_of: Callable[[Task], TaskSpec]) -> None:
        self._spec_of = spec_of
        self._runs: dict[str, dict[int, ActiveRun]] = {}
        self._all = Took()
        self.sooner = 0

    def opened(self, active: ActiveRun) -> None:
        """A run has its lease."""
        for placed in active.run.placed:
            self._runs.setdefault(placed.node.name, {})[active.run.id] = active

    def closed(self, active: ActiveRun) -> None:
        """A run is over."""
        for placed in active.run.placed:
            del self._runs[placed.node.name][active.run.id]

    def ended(self, lane: Lane, seconds: float, task: Task | None = None) -> None:
        """A task of a lane has ended, and took so long."""
        self.sooner += lane.took.learn(seconds, self._walltime(lane, task))
        self._all.learn(seconds)
        if lane.by_walltime is not None:
            lane.by_walltime.measure()

    def lasts(self, lane: Lane, task: Task | None = None) -> float:
        """Return how long a task of a lane, or its first one, will run at most, as far as anybody knows, in seconds."""
        return self._seconds(lane, self._walltime(lane, task or lane.first), late=True)

    def first_within(self, lengths: Lengths[Lane], seconds: float) -> tuple[float, int, Task, Lane] | None:
        """Return the first claim of tasks that will run so long at most, as far as anybody knows; None for none.

        Args:
            lengths: The tasks.
            seconds: See above.

        Returns:
            Its claim, its number, the task and its lane.
        """
        unknown = self._all.expected(0.0, late=True) <= seconds
        for (claim, number, walltime, task), lane in lengths.up_to(seconds, unknown):
            if self._seconds(lane, walltime, late=True) <= seconds:
                return claim, number, task, lane
        return None

    def free_at(self, account: Account, demand: Demand, now: float) -> float:
        """Return when a node is expected to hold a part of what is asked; `now` when it does already."""
        if demand.holds(account):
            return now
        name = account.node.name
        runs = self._runs.get(name, {}).values()
        several = len(runs) > 1  # of these somebody takes long
        if demand.whole:
            return max((self._end(active, several, now) for active in runs), default=math.inf)
        ends = sorted((self._end(active, several, now), _cores_on(name, active)) for active in runs)
        free = account.free_cores
        for end, cores in ends:
            free += cores
            if free >= demand.least:
                return end
        return ends[-1][0] if ends else math.inf  # something else holds it

    def _end(self, active: ActiveRun, late: bool, now: float) -> float:
        """Return when a run is expected to end; one that is late needs as much time again as it is late by."""
        first = active.first
        if first is None:
            return now
        measured = active.lane.timed and active.timed == first.id
        walltime = active.walltime if measured else self._walltime(active.lane, first)
        end = active.fed_at + self._seconds(active.lane, walltime, late)
        return now + abs(end - now)

    def _seconds(self, lane: Lane, walltime: float, late: bool) -> float:
        """Return what its like took, if that is less than its walltime; else that, or what all others took."""
        learnt = lane.took if lane.took.known or walltime else self._all
        return learnt.expected(walltime, late)

    def _walltime(self, lane: Lane, task: Task | None) -> float:
        return self._spec_of(task).policy.walltime if task is not None and lane.timed else 0.0


def _cores_on(node: str, active: ActiveRun) -> int:
    return sum(len(placed.share.cores) for placed in active.run.placed if placed.node.name == node)
