"""What waits for a replica, in the order in which it is served: no I/O."""

from bisect import bisect_left, insort
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

__all__ = ("Waiting",)

K = TypeVar("K", bound=Hashable)


class Waiting(Generic[K]):
    """The lowest priority is first; of equal ones the lowest number, which says who came first."""

    def __init__(self) -> None:
        self._order: list[tuple[float, int, K]] = []
        self._places: dict[K, tuple[float, int]] = {}

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[K]:
        return (key for _, _, key in self._order)

    def put(self, key: K, priority: float, number: int) -> None:
        """It waits; idempotent.

        Args:
            key: What waits.
            priority: Lower is served first.
            number: Of those that came, no two of which have the same.
        """
        if key not in self._places:
            self._places[key] = priority, number
            insort(self._order, (priority, number, key))

    def first(self) -> K | None:
        """Return what is next, None when nothing waits."""
        return self._order[0][2] if self._order else None

    def take(self) -> tuple[K, float]:
        """Remove what is next, and return it with its priority.

        Raises:
            IndexError: Nothing waits.
        """
        priority, _, key = self._order.pop(0)
        del self._places[key]
        return key, priority

    def remove(self, key: K) -> None:
        """It waits no more; idempotent."""
        if place := self._places.pop(key, None):
            del self._order[bisect_left(self._order, place)]

    def clear(self) -> None:
        """Nothing waits any more."""
        self._order.clear()
        self._places.clear()
