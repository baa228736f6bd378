"""Tasks that wait by how long they are expected to take: which of those that are short enough comes first."""

import heapq
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

from rhapsody_parsl.pilot.classes import class_of
from rhapsody_parsl.pilot.ranking import Ranking
from rhapsody_parsl.pilot.took import Took
from rhapsody_parsl.wire.messages import Task

__all__ = ("Bucket", "ByWalltime", "Lengths", "Timed")

Timed = tuple[float, int, float, Task]
"""Claim, the task's number, walltime (0 for none), task."""
_SLACK = 64
_PARTS = 16
"""Lengths of one class differ by a 16th at most."""
_DRIFT = 1 / 8
"""By how much of itself what is expected may change before all lengths are measured again."""
_LEAST = 1e-6
_UNKNOWN = 0.0
"""Length of tasks of which nobody knows how long they take."""

L = TypeVar("L")


class Bucket(Generic[L]):
    """Tasks of one lane of one class of walltimes.

    What has left the lane stays in it until it comes to the front.

    Attributes:
        lane: The lane.
        walltime: The longest of the class; 0 for tasks without one.
        length: How long its tasks are expected to take at most, in classes as wide; 0 where nobody knows.
    """

    __slots__ = ("_here", "_waiting", "lane", "length", "walltime")

    def __init__(self, lane: L, walltime: float, here: dict[int, Timed]) -> None:
        self.lane, self.walltime, self._here = lane, walltime, here
        self.length = _UNKNOWN
        self._waiting: list[Timed] = []

    def put(self, entry: Timed) -> None:
        """A task waits."""
        heapq.heappush(self._waiting, entry)

    @property
    def first(self) -> Timed | None:
        """The one with the first claim; None when none waits."""
        waiting, here = self._waiting, self._here
        while waiting and here.get(waiting[0][1]) is not waiting[0]:
            heapq.heappop(waiting)
        return waiting[0] if waiting else None

    def measure(self, took: Took) -> bool:
        """Note the length by what its like took; return whether it is another now."""
        before = self.length
        if took.known or self.walltime:
            self.length = class_of(max(took.expected(self.walltime, late=True), _LEAST), _PARTS)
        return self.length != before


class ByWalltime(Generic[L]):
    """The tasks of a lane in buckets, of a shape that is asked for short tasks.

    Args:
        lane: The lane.
        took: What is learnt of its tasks.
        lengths: The shape's.
        entries: The tasks that wait now.
    """

    __slots__ = ("_buckets", "_count", "_here", "_lane", "_lengths", "_scale", "_took")

    def __init__(self, lane: L, took: Took, lengths: "Lengths[L]", entries: Iterable[Timed]) -> None:
        self._lane, self._took, self._lengths = lane, took, lengths
        self._buckets: dict[float, Bucket[L]] = {}
        self._here: dict[int, Timed] = {}
        self._count, self._scale = 0, took.scale
        for entry in entries:
            self.add(entry)

    def add(self, entry: Timed) -> None:
        """A task waits."""
        walltime = class_of(entry[2], _PARTS)
        bucket = self._buckets.get(walltime)
        if bucket is None:
            bucket = self._buckets[walltime] = Bucket(self._lane, walltime, self._here)
            bucket.measure(self._took)
        self._here[entry[1]] = entry
        bucket.put(entry)
        self._lengths.add(bucket, entry[0])
        self._count += 1
        if self._count > 2 * len(self._here) + _SLACK:
            self._begin_anew()

    def discard(self, numbers: Iterable[int]) -> None:
        """Tasks do not wait any more."""
        for number in numbers:
            self._here.pop(number, None)

    def measure(self) -> None:
        """A task of the lane has ended: its like may be expected to take longer, or less long, from now on."""
        endless, scale = self._buckets.get(0.0), self._took.scale
        if abs(scale - self._scale) > abs(self._scale) * _DRIFT:
            self._scale, changed = scale, list(self._buckets.values())
        else:
            changed = [] if endless is None else [endless]
        for bucket in changed:
            if bucket.measure(self._took) and (first := bucket.first) is not None:
                self._lengths.add(bucket, first[0])

    def _begin_anew(self) -> None:
        """Most of what is in the buckets has left."""
        before, self._here, self._buckets, self._count = self._here, {}, {}, 0
        for entry in before.values():
            self.add(entry)
        before.clear()  # so that the old buckets are empty


class _Step(Generic[L]):
    """Buckets of one length."""

    __slots__ = ("_length", "buckets")

    def __init__(self, length: float) -> None:
        self._length = length
        self.buckets: Ranking[Bucket[L]] = Ranking(self._claim)

    def _claim(self, bucket: Bucket[L]) -> float | None:
        first = bucket.first if bucket.length == self._length else None
        return None if first is None else first[0]


class Lengths(Generic[L]):
    """The tasks of a shape by length.

    The first claim of those up to a length is found with one look at a list of numbers. One of them may be too low, as
    claims rise without a word: then it is corrected, and the list is looked at again.
    """

    __slots__ = ("_claims", "_lengths", "_steps")

    def __init__(self) -> None:
        self._lengths: list[float] = []
        self._claims: list[float] = []  # of each step; none is above its first one
        self._steps: list[_Step[L]] = []

    def add(self, bucket: Bucket[L], claim: float) -> None:
        """A task of a bucket waits, or its length is another now."""
        place = bisect_left(self._lengths, bucket.length)
        if place == len(self._lengths) or self._lengths[place] != bucket.length:
            self._lengths.insert(place, bucket.length)
            self._claims.insert(place, claim)
            self._steps.insert(place, _Step(bucket.length))
        self._steps[place].buckets.add(bucket)
        self._claims[place] = min(self._claims[place], claim)

    def up_to(self, seconds: float, unknown: bool) -> Iterator[tuple[Timed, L]]:
        """Yield the first claim of tasks that surely take so long at most, and then that of those that just may.

        Args:
            seconds: See above.
            unknown: Whether those of which nobody knows take so long at most.
        """
        low = int(bool(self._lengths) and self._lengths[0] == _UNKNOWN and not unknown)
        if found := self._front(low, bisect_right(self._lengths, seconds)):
            yield found
        place = bisect_right(self._lengths, seconds)
        if place < len(self._lengths) and (found := self._front(place, place + 1)):
            yield found

    def _front(self, low: int, top: int) -> tuple[Timed, L] | None:
        claims = self._claims
        while low < top:
            least = min(claims[low:top])
            place = claims.index(least, low)
            front = self._steps[place].buckets.front()
            if front is None:
                del self._lengths[place], claims[place], self._steps[place]
                top -= 1
            elif front[0] == least and (first := front[1].first):
                return first, front[1].lane
            else:
                claims[place] = front[0]
        return None
