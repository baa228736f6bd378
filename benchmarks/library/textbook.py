"""EASY backfill as in the textbook: what the core's orders are compared with.

It knows the walltime of each task, and asks for cores and whole nodes alone, neither for GPUs nor for labels. So its
task is easier than the core's, and nobody asks what it costs.
"""

import heapq
from bisect import bisect_right
from collections.abc import Sequence

import msgspec

__all__ = ("Job", "play")


class Job(msgspec.Struct, frozen=True):
    """A task.

    Attributes:
        claim: Its place in the order.
        number: Its place among equal claims.
        seconds: That it takes.
        nodes: Whole nodes that it needs; 0 for one core.
        walltime: Seconds that it is known to take at most.
    """

    claim: float
    number: int
    seconds: float
    nodes: int
    walltime: float


class _Play:
    def __init__(self, nodes: int, cores: int, jobs: Sequence[Job]) -> None:
        self._cores = cores
        self._free = [cores] * nodes
        self._ends: list[tuple[float, int, tuple[int, ...], int, float]] = []
        self._latest: list[list[float]] = [[] for _ in range(nodes)]  # when those on each end at the latest
        self._leaves = [0.0] * nodes  # when each is empty at the latest
        order = sorted(jobs, key=lambda job: (job.claim, job.number))
        self._gangs = [job for job in order if job.nodes]
        self._singles: dict[float, list[Job]] = {}  # by claim, the shortest first, of equals the last to come
        for job in sorted(order, key=lambda job: (job.claim, job.walltime, -job.number)):
            if not job.nodes:
                self._singles.setdefault(job.claim, []).append(job)
        self._kept: set[int] = set()
        self._empty = set(range(nodes))
        self._shadow = 0.0
        self._now = self._held = self._used = 0.0
        self.waits: list[float] = []

    def run(self) -> float:
        """Return the part of the cores that is held while work waits."""
        self._start()
        waited = 0.0
        while self._gangs or self._singles:
            at, _, places, cores, latest = heapq.heappop(self._ends)
            self._used += (at - self._now) * self._held
            waited, self._now = at, at
            for place in places:
                self._give_back(place, cores, latest)
            self._held -= cores * len(places)
            if not (self._ends and self._ends[0][0] == at):
                self._start()
        return self._used / (waited * self._cores * len(self._free))

    def _give_back(self, place: int, cores: int, latest: float) -> None:
        self._free[place] += cores
        if self._free[place] == self._cores:
            self._empty.add(place)
        self._latest[place].remove(latest)
        if latest == self._leaves[place] > self._now:  # earlier than at the latest: the first gang may start earlier
            self._leaves[place] = max(self._latest[place], default=self._now)
            self._kept = set()

    def _start(self) -> None:
        while self._is_first() and self._begin_gang(0, set()):
            self._kept = set()
        if self._is_first() and not self._kept:
            order = sorted(range(len(self._free)), key=self._leaves.__getitem__)
            chosen = order[: self._gangs[0].nodes]
            self._kept, self._shadow = set(chosen), self._leaves[chosen[-1]]
        self._begin_singles()
        place = 1 if self._kept else 0
        while place < len(self._gangs):
            in_time = self._now + self._gangs[place].walltime <= self._shadow
            place += not self._begin_gang(place, set() if in_time else self._kept)

    def _is_first(self) -> bool:
        """Whether the first claim of all is a gang's."""
        return bool(self._gangs) and self._gangs[0].claim <= min(self._singles, default=self._gangs[0].claim)

    def _begin_gang(self, place: int, closed: set[int]) -> bool:
        job = self._gangs[place]
        if len(self._empty) < job.nodes:
            return False
        empty = sorted(self._empty - closed)
        if len(empty) < job.nodes:
            return False
        del self._gangs[place]
        self.waits.append(self._now)
        self._hold(tuple(empty[: job.nodes]), self._cores, job)
        return True

    def _begin_singles(self) -> None:
        """Fill all free cores: kept nodes with those that leave in time, the others with any."""
        for place in sorted((n for n, free in enumerate(self._free) if free), key=lambda n: self._free[n]):
            most = self._shadow - self._now if place in self._kept else float("inf")
            while self._free[place] and (job := self._take_single(most)):
                self._hold((place,), 1, job)

    def _take_single(self, most: float) -> Job | None:
        """Take out the longest of the first claims that takes so many seconds at most."""
        for claim, waiting in self._singles.items():
            if last := bisect_right(waiting, most, key=lambda job: job.walltime):
                job = waiting.pop(last - 1)
                if not waiting:
                    del self._singles[claim]
                return job
        return None

    def _hold(self, places: tuple[int, ...], cores: int, job: Job) -> None:
        latest = self._now + job.walltime
        for place in places:
            self._free[place] -= cores
            self._empty.discard(place)
            self._latest[place].append(latest)
            self._leaves[place] = max(self._leaves[place], latest)
        self._held += cores * len(places)
        heapq.heappush(self._ends, (self._now + job.seconds, job.number, places, cores, latest))


def play(nodes: int, cores: int, jobs: Sequence[Job]) -> tuple[float, float]:
    """Return the part of the cores that is held while work waits, and the mean wait of gangs, all coming at once.

    Args:
        nodes: Of the block.
        cores: Of each.
        jobs: The work.
    """
    whole = _Play(nodes, cores, jobs)
    used = whole.run()
    return used, sum(whole.waits) / len(whole.waits)
