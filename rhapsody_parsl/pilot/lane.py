"""The queue of one spec: equal tasks wait in one line, so that a decision costs per line, not per task."""

import math
from collections import deque
from collections.abc import Iterable

from rhapsody_parsl.errors import RhapsodyError
from rhapsody_parsl.pilot.ledger import Lease
from rhapsody_parsl.runtimes.protocol import Run
from rhapsody_parsl.spec.task_spec import TaskSpec
from rhapsody_parsl.wire.messages import LeaseRecord, Task

__all__ = ("ActiveRun", "Lane")

_WORK_AHEAD = 0.010
_LONG = 0.020
_MOST_AHEAD = 64
_RECALL_AFTER = 0.05


class Lane:
    """Tasks of one spec, first come first served.

    Attributes:
        spec: Their spec.
        runtime: Name of the runtime that takes them.
        window: For runs that take no lease: how many tasks the runtime wants at once; 0 for all others.
        seconds: Running mean of the time inside the user's code; None until the first result.
        runs: The runs under way.
    """

    __slots__ = ("_ageing", "_queue", "runs", "runtime", "seconds", "spec", "window")

    def __init__(self, spec: TaskSpec, runtime: str, window: int, ageing: float) -> None:
        self.spec, self.runtime, self.window, self._ageing = spec, runtime, window, ageing
        self._queue: deque[tuple[float, Task]] = deque()
        self.seconds: float | None = None
        self.runs: dict[int, ActiveRun] = {}

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def order(self) -> float:
        """Sort key, lowest first: priority with ageing.

        `priority - waited / ageing` of all heads falls at one rate, so `priority * ageing + arrival` orders them at any
        moment, with no clock.
        """
        return self.spec.policy.priority * self._ageing + self._queue[0][0]

    def waited(self, now: float) -> float:
        """Seconds the first in line has waited."""
        return now - self._queue[0][0]

    def put(self, tasks: Iterable[Task], now: float) -> None:
        """Join the end of the line."""
        for task in tasks:
            self._queue.append((now, task))

    def put_back(self, tasks: list[Task], now: float) -> None:
        """Join its front, in the order given."""
        arrival = min(now, self._queue[0][0]) if self._queue else now
        self._queue.extendleft((arrival, task) for task in reversed(tasks))

    def take(self, count: int) -> list[Task]:
        """Leave from the front, `count` at most."""
        return [self._queue.popleft()[1] for _ in range(min(count, len(self._queue)))]

    def remove(self, task: int) -> bool:
        """Leave from anywhere; False when it is not here."""
        for entry in self._queue:
            if entry[1].id == task:
                self._queue.remove(entry)
                return True
        return False

    def learn(self, seconds: float) -> None:
        """Take the duration of one task into the mean; a long one counts at once."""
        if self.seconds is None or seconds > _LONG:
            self.seconds = seconds
        else:
            self.seconds += 0.1 * (seconds - self.seconds)

    @property
    def depth(self) -> int:
        """How many tasks a run is to hold: enough short ones to hide the way to the worker, one long one."""
        if self.window:
            return self.window
        if self.seconds is None or self.seconds > _LONG or self.spec.policy.walltime:
            return 1
        return max(2, min(_MOST_AHEAD, int(_WORK_AHEAD / max(self.seconds, 1e-6))))

    def portion(self, cores: int) -> int:
        """How many tasks to give at once: a fair part of the line for each run that a block of `cores` has room for."""
        depth = self.depth
        if depth == 1:
            return 1
        resources = self.spec.resources
        each = max(1, resources.cores) * max(1, resources.num_ranks)
        return max(1, min(depth, math.ceil(len(self) / (2 * max(1, cores // each)))))


class ActiveRun:
    """A run under way and what it holds.

    Attributes:
        run: The run as the runtime knows it.
        lane: Whose tasks.
        inflight: Tasks given and not ended, in the order given.
        fed_at: When it was last given something or last ended something.
        recalled: Whether what waits behind a long task has been asked back.
        began: Wall-clock time at which it put its lease to use, for the record.
        total: Tasks given since.
        ended_by: Why it is being ended, by task.
        lost_with: Why all of it is being ended.
    """

    __slots__ = ("began", "ended_by", "fed_at", "inflight", "lane", "lease", "lost_with", "recalled", "run", "total")

    def __init__(self, run: Run, lane: Lane, lease: Lease | None, now: float) -> None:
        self.run, self.lane, self.lease = run, lane, lease
        self.inflight: dict[int, Task] = {}
        self.began = self.fed_at = now
        self.recalled = False
        self.lost_with: RhapsodyError | None = None
        self.ended_by: dict[int, str] = {}
        self.total = 0

    def room(self, cores: int) -> int:
        """How many more tasks to give it now, in a block of `cores`: none while it has half of what it is to hold.

        One that had to give back stands on a long task, and waits for its end.
        """
        lane, has = self.lane, len(self.inflight)
        if lane.window:
            return lane.window - has
        if self.recalled or self.lost_with or has > (depth := lane.depth) // 2:
            return 0
        return min(depth - has, lane.portion(cores))

    @property
    def recallable(self) -> bool:
        """Whether something may wait behind a long task."""
        return len(self.inflight) > 1 and not self.recalled and not self.lane.window

    @property
    def recall_at(self) -> float:
        """When that is to be asked back."""
        return self.fed_at + _RECALL_AFTER

    def recall(self, now: float) -> list[int]:
        """Return what is to be asked back now, once: the worker stays on one task, and others could have the rest."""
        if not self.recallable or now - self.fed_at <= _RECALL_AFTER - 1e-6:
            return []
        self.recalled = True
        self.lane.learn(now - self.fed_at)
        return list(self.inflight)[1:]

    def record(self, ended: float) -> LeaseRecord:
        """Return the line of the ledger's history; for a run with a lease."""
        id_, shares = (self.lease.id, self.lease.shares) if self.lease else (0, ())
        return LeaseRecord(id_, self.lane.runtime, self.lane.spec.name, shares, self.began, ended, self.total)
