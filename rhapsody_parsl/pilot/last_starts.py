"""Until when tasks with a walltime can start so that they end before the block does."""

import heapq
from collections.abc import Callable, Iterator

__all__ = ("LastStarts",)

_SLACK = 1000


class LastStarts:
    """The last moments at which tasks that wait can start; of others until nobody needs the room.

    Args:
        ends: When the block ends, on the caller's clock.
        waits: Whether a task waits.
    """

    def __init__(self, ends: float, waits: Callable[[int], bool]) -> None:
        self._ends, self._waits = ends, waits
        self._heap: list[tuple[float, int]] = []
        self._most = _SLACK

    def allow(self, walltime: float, now: float) -> bool:
        """Whether a task that starts now ends before the block does; one without a walltime may always start."""
        return not walltime or now + walltime <= self._ends

    def add(self, task: int, walltime: float) -> None:
        """A task waits."""
        if not walltime:
            return
        heapq.heappush(self._heap, (self._ends - walltime, task))
        if len(self._heap) > self._most:
            self._heap = [entry for entry in self._heap if self._waits(entry[1])]
            heapq.heapify(self._heap)
            self._most = 2 * len(self._heap) + _SLACK

    def passed(self, now: float) -> Iterator[int]:
        """Take out the tasks that wait and can start no more."""
        while self._heap and self._heap[0][0] < now:
            _, task = heapq.heappop(self._heap)
            if self._waits(task):
                yield task

    def next(self, now: float) -> list[float]:
        """Return in how many seconds the next one can start no more, if there is one."""
        return [self._heap[0][0] - now + _AFTER] if self._heap else []


_AFTER = 1e-3
"""Seconds after the last moment at which to look."""
