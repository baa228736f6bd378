"""One decision's walk over those who wait, the first claim first."""

from collections.abc import Collection, Iterator, Sequence
from heapq import heapify, heappop, heappush
from typing import Protocol

from rhapsody_parsl.pilot.lane import Lane
from rhapsody_parsl.pilot.ranking import Ranking
from rhapsody_parsl.pilot.shape import Shape

__all__ = ("Everyone", "in_turn")


class Rows(Protocol):
    """Some of those who wait.

    Attributes:
        ahead: By how much their claims count as lower than they are.
    """

    ahead: float

    def bound(self) -> float | None:
        """Return a claim that none of those in question is below; None when there are none."""

    def front(self) -> tuple[float, Shape[Lane]] | None:
        """Return the first one that is in question, with its claim."""

    def has_room(self, shape: Shape[Lane]) -> bool:
        """Whether the one at the front may find room; if not, it is not in question."""

    def leave_out(self, shape: Shape[Lane]) -> None:
        """The one at the front is not in question any more."""

    def restore(self) -> None:
        """The walk is over: all are as before."""


class Everyone:
    """Shapes that all have their turn.

    Args:
        ranking: The shapes.

    Attributes:
        ahead: Nothing.
    """

    def __init__(self, ranking: Ranking[Shape[Lane]]) -> None:
        self.ahead = 0.0
        self._ranking = ranking
        self._aside: list[Shape[Lane]] = []
        self.front = ranking.front

    def bound(self) -> float | None:
        """Return the first claim."""
        front = self.front()
        return None if front is None else front[0]

    def has_room(self, _shape: Shape[Lane]) -> bool:
        """Say so."""
        return True

    def leave_out(self, shape: Shape[Lane]) -> None:
        """Set it aside."""
        self._ranking.pop()
        self._aside.append(shape)

    def restore(self) -> None:
        """Take back what was set aside."""
        for shape in self._aside:
            self._ranking.add(shape)


def in_turn(rows: Sequence[Rows], ready: Collection[str]) -> Iterator[Lane]:
    """Merge rows of shapes; yield each shape's first lane, until one of them still has its first claim after its turn.

    That shape finds no room, and has no other turn in this walk. A turn is for that claim: later ones of the lane may
    have to stand behind others.

    Args:
        rows: A shape may stand in several.
        ready: Names of the runtimes that can take tasks.
    """
    bounds = [(row.bound(), row.ahead, place) for place, row in enumerate(rows)]
    heads = [(bound - ahead, place, bound) for bound, ahead, place in bounds if bound is not None]
    heapify(heads)
    passed: set[Shape[Lane]] = set()
    try:
        while heads:
            _, place, order = heappop(heads)
            row = rows[place]
            if (front := row.front()) is None:
                continue
            key, shape = front
            if shape in passed or shape.gate not in ready:
                row.leave_out(shape)
            elif key == order and row.has_room(shape):
                yield from _turn(shape, passed)
            if (bound := row.bound()) is not None:
                heappush(heads, (bound - row.ahead, place, bound))
    finally:
        for row in rows:
            row.restore()


def _turn(shape: Shape[Lane], passed: set[Shape[Lane]]) -> Iterator[Lane]:
    lane = shape.lanes.first()
    if lane is not None:
        order = lane.order
        yield lane
        if len(lane) and lane.order == order:
            passed.add(shape)
