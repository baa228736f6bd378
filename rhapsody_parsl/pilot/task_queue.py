"""Tasks that wait, in the order of their keys."""

import heapq
from collections import deque
from collections.abc import Callable

from rhapsody_parsl.wire.messages import Task

__all__ = ("TaskQueue",)

Entry = tuple[float, int, float, Task]
"""Key, the task's number, arrival, task: the key decides, the number among equals."""
_SLACK = 64


class TaskQueue:
    """A queue by keys.

    Nearly all tasks come in the order of their keys, and cost what they cost in a plain queue; what is more urgent than
    the last one lies in a heap.

    Attributes:
        order: The first one's key; None when nobody waits.
    """

    __slots__ = ("_arrivals", "_early", "_early_ids", "_queue", "order")

    def __init__(self) -> None:
        self.order: float | None = None
        self._queue: deque[Entry] = deque()
        self._early: list[Entry] = []
        self._early_ids: set[int] = set()
        self._arrivals: deque[tuple[float, int]] = deque()  # of the early ones; some are gone

    def __len__(self) -> int:
        return len(self._queue) + len(self._early)

    @property
    def first(self) -> Task | None:
        """The first one; None when nobody waits."""
        if self._early and self._early_is_first():
            return self._early[0][3]
        return self._queue[0][3] if self._queue else None

    @property
    def oldest(self) -> float | None:
        """When the one came that has waited longest; None when nobody waits."""
        if not self._early:
            return self._queue[0][2] if self._queue else None
        while self._arrivals[0][1] not in self._early_ids:
            self._arrivals.popleft()
        early = self._arrivals[0][0]
        return min(self._queue[0][2], early) if self._queue else early

    def join(self, task: Task, key: float, arrival: float) -> bool:
        """Join the queue; return whether the first may be another now. Arrivals never fall from call to call."""
        queue = self._queue
        if not queue or key >= queue[-1][0]:
            queue.append((key, task.id, arrival, task))
            if len(queue) > 1:
                return False
        else:
            self._put_early((key, task.id, arrival, task))
        return self._comes_first(key)

    def join_in_front(self, task: Task, key: float, arrival: float) -> None:
        """Join it in front of all with this key."""
        queue = self._queue
        if not queue or key <= queue[0][0]:
            queue.appendleft((key, task.id, arrival, task))
        else:
            self._put_early((key, task.id, arrival, task))
        self._comes_first(key)

    def take(self, count: int) -> list[Task]:
        """Take the first ones out, `count` at most."""
        queue = self._queue
        if self._early:
            taken = [self._take_one() for _ in range(min(count, len(self)))]
            self._note_first()
        else:
            taken = [queue.popleft()[3] for _ in range(min(count, len(queue)))]
            self.order = queue[0][0] if queue else None
        return taken

    def take_if(self, of: Callable[[Task], bool]) -> list[Task]:
        """Take some out from anywhere."""
        taken = {entry[1]: entry[3] for entry in (*self._queue, *self._early) if of(entry[3])}
        self._queue = deque(entry for entry in self._queue if entry[1] not in taken)
        self._early = [entry for entry in self._early if entry[1] not in taken]
        heapq.heapify(self._early)
        self._early_ids.difference_update(taken)
        self._note_first()
        return list(taken.values())

    def _take_one(self) -> Task:
        if not self._early or not self._early_is_first():
            return self._queue.popleft()[3]
        entry = heapq.heappop(self._early)
        self._early_ids.discard(entry[1])
        return entry[3]

    def remove(self, task: int) -> bool:
        """Take one out from anywhere; False when it is not here."""
        for entry in self._queue:
            if entry[1] == task:
                self._queue.remove(entry)
                self._note_first()
                return True
        if task not in self._early_ids:
            return False
        self._early_ids.discard(task)
        self._early = [entry for entry in self._early if entry[1] != task]
        heapq.heapify(self._early)
        self._note_first()
        return True

    def _comes_first(self, key: float) -> bool:
        """One with a key has come: note it if it may be the first; return whether it may."""
        if self.order is None or key <= self.order:
            self.order = key
            return True
        return False

    def _note_first(self) -> None:
        """Note the key of the first one."""
        if not self._early:
            self.order = self._queue[0][0] if self._queue else None
        else:
            self.order = self._early[0][0] if self._early_is_first() else self._queue[0][0]

    def _put_early(self, entry: Entry) -> None:
        heapq.heappush(self._early, entry)
        self._early_ids.add(entry[1])
        if self._arrivals and entry[2] < self._arrivals[-1][0]:  # one that was put back
            self._arrivals.appendleft((min(entry[2], self._arrivals[0][0]), entry[1]))
        else:
            self._arrivals.append((entry[2], entry[1]))
        if len(self._arrivals) > 2 * len(self._early) + _SLACK:
            self._arrivals = deque(pair for pair in self._arrivals if pair[1] in self._early_ids)

    def _early_is_first(self) -> bool:
        return not self._queue or self._early[0] < self._queue[0]
