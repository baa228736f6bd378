"""Shapes that wait and differ in one number: where one of them finds no room, no larger one does."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator

from rhapsody_parsl.annotations.resources import Part
from rhapsody_parsl.pilot.account import Account
from rhapsody_parsl.pilot.demand import Demand
from rhapsody_parsl.pilot.lane import Lane
from rhapsody_parsl.pilot.pool import Pool, Room
from rhapsody_parsl.pilot.ranking import Ranking
from rhapsody_parsl.pilot.shape import Shape

__all__ = ("Ladder",)


class Rung:
    """Shapes of one size.

    Args:
        demand: What they ask of each node.
        room: The open nodes that may hold a part of it.

    Attributes:
        demand: See above.
        room: See above.
        shapes: The first claim first.
    """

    __slots__ = ("demand", "room", "shapes")

    def __init__(self, demand: Demand, room: Room) -> None:
        self.demand, self.room = demand, room
        self.shapes: Ranking[Shape[Lane]] = Ranking(self._order)

    def _order(self, shape: Shape[Lane]) -> float | None:
        front = shape.lanes.front() if shape.room is self.room else None  # it may ask for less by now
        return None if front is None else front[0]


class Ladder:
    """Shapes of one runtime by size: of tasks of one node the memory, of gangs how many nodes or ranks they need.

    The first claim of those up to a size is found with one look at a list of numbers; of equal claims, the largest. A
    number in it may be too low, as claims rise without a word: then it is corrected, and the list is looked at again.

    A walk begins with `climb`. From then on `front` leaves out what finds no room, until the next `climb`.

    Args:
        of_gangs: Whether its shapes are gangs.
        least: Free cores that each of them needs on a node.
        whole: Whether they need untouched nodes.

    Attributes:
        of_gangs: See above.
        least: See above.
        ahead: By how much their claims count as lower in this walk.
    """

    __slots__ = ("_aside", "_claims", "_rungs", "_sizes", "_top", "_whole", "ahead", "least", "of_gangs")

    def __init__(self, *, of_gangs: bool, least: int, whole: bool = False) -> None:
        self.of_gangs, self.least, self._whole = of_gangs, least, whole
        self.ahead = 0.0
        self._sizes: list[float] = []
        self._claims: list[float] = []  # of each rung; none is above its first one
        self._rungs: list[Rung] = []
        self._top = 0  # rungs that are in question in this walk
        self._aside: list[Shape[Lane]] = []

    def add(self, shape: Shape[Lane]) -> None:
        """Tasks of a shape wait, or its first claim may be an older one."""
        order, size = shape.order, shape.demand.size
        if order is None:
            return
        place = bisect_left(self._sizes, size)
        if place == len(self._sizes) or self._sizes[place] != size:
            self._sizes.insert(place, size)
            self._claims.insert(place, order)
            self._rungs.insert(place, Rung(shape.demand, shape.room))
            self._top += place < self._top
            self._forget_above(place)
        self._rungs[place].shapes.add(shape)
        self._claims[place] = min(self._claims[place], order)

    def climb(self, ahead: float = 0.0) -> None:
        """Begin a walk: all are in question.

        Args:
            ahead: By how much the claims of those count as lower that need untouched nodes.
        """
        self._top = len(self._rungs)
        self.ahead = ahead if self._whole else 0.0

    def bound(self) -> float | None:
        """Return a claim that none of those who may find room is below; None when nobody may."""
        self._stay_below(self._top)
        return min(self._claims[: self._top]) if self._top else None

    def front(self) -> tuple[float, Shape[Lane]] | None:
        """Return the first of those that are in question in this walk, with its claim; None when there is none."""
        return self._front(self._top)

    def has_room(self, shape: Shape[Lane]) -> bool:
        """Whether a shape may find room on the open nodes; if not, no larger one is in question."""
        if shape.has_room:
            return True
        self._stay_below(bisect_left(self._sizes, shape.demand.size))
        return False

    def leave_out(self, shape: Shape[Lane]) -> None:
        """A shape is at the front, and found no room: neither it nor any larger one is in question."""
        size = shape.demand.size
        self._rungs[bisect_left(self._sizes, size)].shapes.pop()
        self._stay_below(bisect_right(self._sizes, size))
        self._aside.append(shape)

    def restore(self) -> None:
        """A walk is over."""
        aside, self._aside = self._aside, []
        for shape in aside:
            self.add(shape)

    def fitting_in(self, pool: Pool) -> Iterator[Shape[Lane]]:
        """Yield the first shape of each size that may find room on nodes of another pool and the open ones."""
        if not self._rungs:
            return
        first, most = self._rungs[0], self._most
        if found := pool.room(first.demand).available(most):
            for rung in self._rungs[: self._reach(found + first.room.available(most))]:
                if front := rung.shapes.front():
                    yield front[1]

    def first_on(
        self, account: Account, back: Part, below: float, passed: Collection[Shape[Lane]] = ()
    ) -> tuple[float, Shape[Lane]] | None:
        """Return who would have room on a node if so much more of it were free, the first claim of them; or None.

        Args:
            account: The node; it would have the cores.
            back: What would be free, too.
            below: Later claims are of no interest.
            passed: Shapes that found none: neither these nor larger ones are in question.
        """
        if not self._rungs:
            return None
        demand = self._rungs[0].demand
        if not (demand.by_size or demand.would_hold(account, back)):
            return None
        if not self.of_gangs:
            most = account.memory + back.memory
        else:
            most = (account.free_cores + back.cores) // demand.per_rank if demand.per_rank else 1
        top = bisect_right(self._sizes, most)
        for shape in passed:
            place = bisect_left(self._sizes, shape.demand.size)
            if place < top and shape in self._rungs[place].shapes:
                top = place
        return self._front(top, below)

    @property
    def is_unused(self) -> bool:
        """Whether nobody waits here."""
        return not self._rungs

    @property
    def _most(self) -> int:
        """How many nodes or ranks the largest one needs."""
        return self._rungs[-1].demand.needs

    def _stay_below(self, place: int) -> None:
        """Leave out the rungs from a place on, and all for which there are not enough nodes now."""
        top = min(self._top, place)
        self._top = min(top, self._reach(self._rungs[0].room.available(self._most))) if top else 0

    def _reach(self, available: int) -> int:
        """Return how many rungs may find room where there are so many nodes, or ranks, for the lowest."""
        if not self.of_gangs:
            return len(self._rungs) if available else 0
        return bisect_right(self._sizes, available)

    def _front(self, top: int, below: float = math.inf) -> tuple[float, Shape[Lane]] | None:
        claims = self._claims
        while top:
            some = claims[:top]
            least = min(some)
            if least >= below:
                return None
            some.reverse()
            place = top - 1 - some.index(least)  # of equal claims the largest: it finds room least often
            front = self._rungs[place].shapes.front()
            if front is None:
                self._remove(place)
                top -= 1
            elif front[0] == least:
                return front
            else:
                claims[place] = front[0]
        return None

    def _forget_above(self, place: int) -> None:
        """Remove what is next above a new rung and has no shape: it was that of the new one's, which asks for less."""
        while (above := place + 1) < len(self._rungs) and self._rungs[above].shapes.front() is None:
            self._remove(above)

    def _remove(self, place: int) -> None:
        del self._sizes[place], self._claims[place], self._rungs[place]
        self._top -= place < self._top
