"""Things in the order of a key that changes while they stand there."""

import heapq
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

__all__ = ("Ranking",)

T = TypeVar("T")


class Ranking(Generic[T]):
    """A heap of things, the lowest key first.

    A key may rise at any time without a word: it is looked at when its thing comes to the front. So what rises with
    every task costs nothing until somebody asks. A key that may have fallen is told with `add`.

    Args:
        key: Returns a thing's key, a number or several; None for one that has no place any more.
    """

    __slots__ = ("_count", "_heap", "_key", "_places")

    def __init__(self, key: Callable[[T], Any]) -> None:
        self._key = key
        self._heap: list[tuple[float, int, T]] = []
        self._places: dict[T, float] = {}
        self._count = 0

    def __len__(self) -> int:
        """Return how many there are at most: some may have lost their place meanwhile."""
        return len(self._places)

    def __contains__(self, thing: T) -> bool:
        """Return whether a thing has a place, or has lost it meanwhile."""
        return thing in self._places

    def __iter__(self) -> Iterator[T]:
        """Iterate over all, in no order; also over some that have lost their place meanwhile."""
        return iter(self._places)

    def add(self, thing: T) -> None:
        """Give a thing its place, or one further in front; it may have one already."""
        key = self._key(thing)
        if key is None:
            return
        place = self._places.get(thing)
        if place is None or key < place:
            self._places[thing] = key
            self._count += 1
            heapq.heappush(self._heap, (key, self._count, thing))

    def first(self) -> T | None:
        """Return the thing with the lowest key, the first to come of equals; None when there is none."""
        front = self.front()
        return None if front is None else front[1]

    def front(self) -> tuple[float, T] | None:
        """Return the first thing with its key; None when there is none."""
        places = self._places
        if len(places) == 1:  # without a look at places
            (thing,) = places
            if (key := self._key(thing)) is not None:
                if len(self._heap) > 1:  # the others are old places of it
                    places[thing] = key
                    self._heap = [(key, self._count, thing)]
                return key, thing
        heap = self._heap
        while heap:
            place, count, thing = heap[0]
            if places.get(thing) != place:
                heapq.heappop(heap)
                continue
            key = self._key(thing)
            if key == place:
                return place, thing
            if key is None:
                heapq.heappop(heap)
                del places[thing]
            else:
                places[thing] = key
                heapq.heapreplace(heap, (key, count, thing))
        return None

    def pop(self) -> T | None:
        """Take the first thing out."""
        thing = self.first()
        if thing is not None:
            del self._places[thing]
            if self._heap[0][2] is thing:
                heapq.heappop(self._heap)
        return thing
