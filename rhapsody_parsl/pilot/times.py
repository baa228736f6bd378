"""When each task came and was placed, and what it waited for: kept until it ends, for the record of the run."""

from collections.abc import Sequence

from rhapsody_parsl.pilot.lane import ActiveRun
from rhapsody_parsl.wire.messages import Task
from rhapsody_parsl.wire.times import NEVER, WAITS, TaskTimes

__all__ = ("Times",)

_RUNTIME, _SERVICE = WAITS.index("runtime"), WAITS.index("service")


class Times:
    """The times of a block's tasks; about half a microsecond for each task.

    Args:
        on: Whether they are kept.
    """

    def __init__(self, on: bool = True) -> None:
        self._on = on
        self._of: dict[int, TaskTimes] = {}
        self._ready: dict[str, float] = {}
        self._ended: list[TaskTimes] = []

    def ready(self, runtime: str, now: float) -> None:
        """A runtime can take tasks since now."""
        self._ready[runtime] = now

    def came(self, task: int, now: float) -> None:
        """A task came, and may wait."""
        if self._on:
            self._of[task] = TaskTimes(now)

    def placed(self, tasks: Sequence[Task], active: ActiveRun, now: float) -> None:
        """A run was given tasks; one that is not known came this moment."""
        if not self._on:
            return
        of, lane = self._of, active.lane
        lease = active.lease.id if active.lease else 0
        waited = _SERVICE if lane.window else lane.shape.waits_for
        starting = 2 * self._ready.get(lane.runtime, 0.0) - now  # who came before has waited for its start most of all
        for task in tasks:
            times = of.get(task.id)
            if times is None:
                of[task.id] = TaskTimes(now, now, lease)
                continue
            times.placed, times.lease = now, lease
            if times.accepted < now:
                times.waited = _RUNTIME if times.accepted < starting else waited

    def again(self, task: int) -> None:
        """A task was lost, and is to run again."""
        if times := self._of.get(task):
            times.tries += 1

    def ended(self, task: int) -> None:
        """A task has a result."""
        if self._on:
            self._ended.append(self._of.pop(task, NEVER))

    def forget(self, task: int) -> None:
        """A task leaves the block with no result."""
        self._of.pop(task, None)

    def take(self) -> list[TaskTimes]:
        """Return the times of the tasks that had results since the last call, in their order."""
        ended, self._ended = self._ended, []
        return ended
