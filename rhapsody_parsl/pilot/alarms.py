"""When the runs under way have to be looked at: a walltime has passed, or a task takes long."""

from collections.abc import Callable, Iterator, Sequence

from rhapsody_parsl.pilot.deadlines import Deadlines
from rhapsody_parsl.pilot.lane import ActiveRun
from rhapsody_parsl.pilot.ranking import Ranking
from rhapsody_parsl.wire.messages import Task

__all__ = ("Alarms",)


class Alarms:
    """The alarms of a block's runs.

    Args:
        walltime_of: Returns the seconds after which a task is to be ended; 0 is none.
    """

    def __init__(self, walltime_of: Callable[[Task], float]) -> None:
        self._walltime_of = walltime_of
        self._deadlines = Deadlines()
        self._long: Ranking[ActiveRun] = Ranking(lambda active: active.recall_at)

    def set(self, active: ActiveRun, given: Sequence[Task], now: float) -> None:
        """What a run has in flight is another now; these tasks were given to it."""
        if active.lane.timed:
            self._time(active, given, now)
        if active.ample or active.has > 1:
            self._long.add(active)

    def _time(self, active: ActiveRun, given: Sequence[Task], now: float) -> None:
        """Measure walltimes: of requests from now, of other tasks from the end of the one before them in their run.

        Those that run side by side are measured from now, too.
        """
        if active.lane.window or active.lane.beside:
            for task in given:
                self._limit(active, task.id, self._walltime_of(task), now)
        elif (first := active.first) is not None and first.id != active.timed:
            active.timed, active.walltime = first.id, self._walltime_of(first)
            self._limit(active, first.id, active.walltime, now)

    def _limit(self, active: ActiveRun, task: int, walltime: float, now: float) -> None:
        if walltime:
            self._deadlines.add(now + walltime, active, task)

    def passed(self, now: float) -> Iterator[tuple[ActiveRun, Task]]:
        """Yield the runs and tasks whose walltime has passed, once."""
        return self._deadlines.passed(now)

    def long(self, now: float) -> Iterator[ActiveRun]:
        """Yield the runs that stay on one task; whoever takes one makes sure that it is none any more."""
        while (active := self._long.first()) and active.is_long(now):
            yield active

    def next(self, now: float) -> list[float]:
        """Return in how many seconds the next ones come."""
        due = self._deadlines.next(now)
        if (active := self._long.first()) and (at := active.recall_at) is not None:
            due.append(at - now)
        return due
