"""What waits for a replica, in the order in which it is served: no I/O."""

from bisect import bisect_left, insort
from collections.abc import Hashable, Iterator
from itertools import islice
from typing import Generic, TypeVar

__all__ = ("Waiting",)

K = TypeVar("K", bound=Hashable)


class Waiting(Generic[K]):
    """The lowest priority is first; of equal ones the lowest number, which says who came first.

    Those that were taken leave a gap at the front of the list, which is closed when it is half of it: to take one costs
    the same however many wait.
    """

    def __init__(self) -> None:
        self._order: list[tuple[float, int, K]] = []
        self._gap = 0
        self._places: dict[K, tuple[float, int]] = {}

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[K]:
        return (key for _, _, key in islice(self._order, self._gap, None))

    def put(self, key: K, priority: float, number: int) -> None:
        """It waits; idempotent.

        Args:
            key: What waits.
            priority: Lower is served first.
            number: Of those that came, no two of which have the same.
        """
        if key not in self._places:
            self._places[key] = priority, number
            insort(self._order, (priority, number, key), self._gap)

    def first(self) -> K | None:
        """Return what is next, None when nothing waits."""
        return self._order[self._gap][2] if self._places else None

    def take(self) -> tuple[K, float]:
        """Remove what is next, and return it with its priority.

        Raises:
            IndexError: Nothing waits.
        """
        priority, _, key = self._order[self._gap]
        del self._places[key]
        self._gap += 1
        if 2 * self._gap >= len(self._order):
            del self._order[: self._gap]
            self._gap = 0
        return key, priority

    def remove(self, key: K) -> None:
        """It waits no more; idempotent."""
        if place := self._places.pop(key, None):
            del self._order[bisect_left(self._order, place, self._gap)]

    def clear(self) -> None:
        """Nothing waits any more."""
        self._order.clear()
        self._places.clear()
        self._gap = 0
