"""When tasks with a walltime are to be ended."""

import heapq
from collections.abc import Iterator

from rhapsody_parsl.pilot.lane import ActiveRun
from rhapsody_parsl.wire.messages import Task

__all__ = ("Deadlines",)

_SLACK = 1000


class Deadlines:
    """The deadlines of the tasks that are with a runtime; of one that has ended until nobody needs the room."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, int, ActiveRun]] = []
        self._most = _SLACK

    def add(self, at: float, active: ActiveRun, task: int) -> None:
        """A task of a run is to end by then."""
        heapq.heappush(self._heap, (at, task, active.run.id, active))
        if len(self._heap) > self._most:
            self._heap = [entry for entry in self._heap if entry[3].task(entry[1])]
            heapq.heapify(self._heap)
            self._most = 2 * len(self._heap) + _SLACK

    def passed(self, now: float) -> Iterator[tuple[ActiveRun, Task]]:
        """Take out the deadlines that have passed; yield the runs and tasks that have not ended."""
        while self._heap and self._heap[0][0] <= now:
            _, number, _, active = heapq.heappop(self._heap)
            if task := active.task(number):
                yield active, task

    def next(self, now: float) -> list[float]:
        """Return in how many seconds the next one comes, if there is one: most tasks have ended by then."""
        while self._heap and not self._heap[0][3].task(self._heap[0][1]):
            heapq.heappop(self._heap)
        return [self._heap[0][0] - now] if self._heap else []
