"""Which shapes have waited for long: nodes are kept free for those."""

from collections.abc import Collection
from typing import Generic, TypeVar

from rhapsody_parsl.pilot.ranking import Ranking
from rhapsody_parsl.pilot.shape import Shape, Waits

__all__ = ("PATIENCE", "Lateness", "by_order")

PATIENCE = 3.0
"""Seconds after which whoever waits has nodes kept free."""

L = TypeVar("L", bound=Waits)


class Lateness(Generic[L]):
    """The shapes that wait for nodes and have none kept free: those that came lately, and those that are late."""

    def __init__(self) -> None:
        self._fresh: Ranking[Shape[L]] = Ranking(_by_age)
        self._late: dict[str, Ranking[Shape[L]]] = {}  # by what has to be ready

    def watch(self, shape: Shape[L]) -> None:
        """Tasks of a shape wait, or it has no nodes kept free any more: it may be late, now or later."""
        self._fresh.add(shape)

    def first(self, now: float, ready: Collection[str]) -> Shape[L] | None:
        """Return the shape with the first claim of those that are late, of equals the largest, until it is taken out.

        Args:
            now: The time.
            ready: Names of the runtimes that can take tasks.
        """
        while (front := self._fresh.front()) and now - front[0] > PATIENCE:
            self._fresh.pop()
            self._late.setdefault(front[1].gate, Ranking(_largest_first)).add(front[1])
        fronts = [self._late_of(gate, now) for gate in self._late if gate in ready]
        return min(filter(None, fronts), key=lambda shape: _largest_first(shape) or (0.0, 0), default=None)

    def _late_of(self, gate: str, now: float) -> Shape[L] | None:
        late = self._late[gate]
        while (shape := late.first()) is not None and not self.is_late(shape, now):
            late.pop()
            self._fresh.add(shape)
        return shape

    def forget(self) -> None:
        """Nobody is late any more: no task waits."""
        self._late.clear()

    def take(self, shape: Shape[L]) -> None:
        """The shape that `first` returned has nodes kept free."""
        self._late[shape.gate].pop()

    def is_late(self, shape: Shape[L], now: float) -> bool:
        """Whether a task of a shape has waited for long."""
        oldest = shape.oldest
        return oldest is not None and now - oldest > PATIENCE

    def next(self, now: float) -> list[float]:
        """Return in how many seconds the next shape will be late; once it is, only ends help."""
        front = self._fresh.front()
        return [] if front is None or now - front[0] > PATIENCE else [PATIENCE + 0.01 - (now - front[0])]


def by_order(shape: Shape[L]) -> float | None:
    """Return a shape's place in the order of claims."""
    return shape.order


def _largest_first(shape: Shape[L]) -> tuple[float, int] | None:
    order = shape.order
    return None if order is None else (order, -shape.demand.needs)


def _by_age(shape: Shape[L]) -> float | None:
    return shape.oldest
