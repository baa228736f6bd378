"""Tasks that wait, in the order of their keys."""

import heapq
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from rhapsody_parsl.pilot.lengths import ByWalltime
from rhapsody_parsl.wire.messages import Task

__all__ = ("TaskQueue",)

Entry = tuple[float, int, float, Task]
"""Key, the task's number, arrival, task: the key decides, the number among equals."""
_SLACK = 64


class TaskQueue:
    """A queue by keys.

    Nearly all tasks come in the order of their keys, or each is more urgent than all before it. They cost what they
    cost in a plain queue. Others that are more urgent than the last one lie in a heap. What is taken out from anywhere
    stays there, as gone, until it comes to the front.

    Attributes:
        order: The first one's key; None when nobody waits.
        by_walltime: The same tasks by their walltimes; None while nobody asks.
    """

    __slots__ = ("_arrivals", "_early", "_early_ids", "_gone", "_newer", "_queue", "by_walltime", "order")

    def __init__(self) -> None:
        self.order: float | None = None
        self._queue: deque[Entry] = deque()
        self._newer = 0  # how many of its first came after all others of it; none of these is gone, nor the one behind
        self._early: list[Entry] = []
        self._early_ids: set[int] = set()
        self._arrivals: deque[tuple[float, int]] = deque()  # of the early ones; some are gone
        self._gone: set[int] = set()  # never the first of the queue or of the heap
        self.by_walltime: ByWalltime[Any] | None = None

    def __len__(self) -> int:
        return len(self._queue) + len(self._early) - len(self._gone)

    def entries(self) -> Iterator[Entry]:
        """Yield all that wait, in no order."""
        self._purge()
        yield from self._queue
        yield from self._early

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
            return self._queue[self._newer][2] if self._queue else None
        while self._arrivals[0][1] not in self._early_ids:
            self._arrivals.popleft()
        early = self._arrivals[0][0]
        return min(self._queue[self._newer][2], early) if self._queue else early

    def join(self, task: Task, key: float, arrival: float) -> bool:
        """Join the queue; return whether the first may be another now. Arrivals never fall from call to call."""
        if task.id in self._gone:
            self._purge()
        queue = self._queue
        if not queue or key >= queue[-1][0]:
            queue.append((key, task.id, arrival, task))
            if len(queue) > 1:
                return False
        elif key < queue[0][0]:
            queue.appendleft((key, task.id, arrival, task))
            self._newer += 1
        else:
            self._put_early((key, task.id, arrival, task))
        return self._comes_first(key)

    def join_in_front(self, task: Task, key: float, arrival: float) -> None:
        """Join it in front of all with this key."""
        if task.id in self._gone:
            self._purge()
        self._settle_newer()
        queue = self._queue
        if not queue or key <= queue[0][0]:
            queue.appendleft((key, task.id, arrival, task))
        else:
            self._put_early((key, task.id, arrival, task))
        self._comes_first(key)

    def take(self, count: int) -> list[Task]:
        """Take the first ones out, `count` at most."""
        queue = self._queue
        if self._early or self._gone:
            taken = [self._take_one() for _ in range(min(count, len(self)))]
            self._note_first()
        else:
            count = min(count, len(queue))
            taken = [queue.popleft()[3]] if count == 1 else [queue.popleft()[3] for _ in range(count)]
            self.order = queue[0][0] if queue else None
            if self._newer:
                self._newer = max(0, self._newer - count)
        if self.by_walltime is not None:
            self.by_walltime.discard(task.id for task in taken)
        return taken

    def take_if(self, of: Callable[[Task], bool]) -> list[Task]:
        """Take some out from anywhere."""
        self._settle_newer()
        taken = [entry[3] for entry in self.entries() if of(entry[3])]
        self._gone = {task.id for task in taken}
        self._early_ids -= self._gone
        self._purge()
        self._note_first()
        if self.by_walltime is not None:
            self.by_walltime.discard(task.id for task in taken)
        return taken

    def remove(self, task: int) -> None:
        """Take one out that waits, from anywhere."""
        self._settle_newer()
        self._early_ids.discard(task)
        self._gone.add(task)
        self._tidy()
        if len(self._gone) > len(self) + _SLACK:
            self._purge()
        self._note_first()
        if self.by_walltime is not None:
            self.by_walltime.discard((task,))

    def _take_one(self) -> Task:
        if not self._early or not self._early_is_first():
            task = self._queue.popleft()[3]
            self._newer -= self._newer > 0
        else:
            task = heapq.heappop(self._early)[3]
            self._early_ids.discard(task.id)
        if self._gone:
            self._tidy()
        return task

    def _tidy(self) -> None:
        """Drop what is gone from the fronts."""
        while self._queue and self._queue[0][1] in self._gone:
            self._gone.discard(self._queue.popleft()[1])
        while self._early and self._early[0][1] in self._gone:
            self._gone.discard(heapq.heappop(self._early)[1])

    def _purge(self) -> None:
        """Drop all that is gone."""
        if self._gone:
            self._settle_newer()
            self._queue = deque(entry for entry in self._queue if entry[1] not in self._gone)
            self._early = [entry for entry in self._early if entry[1] not in self._gone]
            heapq.heapify(self._early)
            self._gone.clear()

    def _settle_newer(self) -> None:
        """Put the newer ones among the early: from now on the first of the queue came before all others of it."""
        if not self._newer:
            return
        came: list[tuple[float, int]] = []
        while self._newer:
            self._newer -= 1
            entry = self._queue.popleft()
            heapq.heappush(self._early, entry)
            came.append((entry[2], entry[1]))
        self._early_ids.update(number for _, number in came)
        first = came[-1]
        while self._arrivals and self._arrivals[-1] > first:  # those that came among them; never again
            came.append(self._arrivals.pop())
        self._arrivals.extend(sorted(came))

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
