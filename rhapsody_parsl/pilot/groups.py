"""The shapes that wait for nodes, in groups that find room together: who has none costs a decision nothing."""

from bisect import bisect_right, insort
from collections.abc import Collection, Hashable, Iterator

from rhapsody_parsl.annotations.resources import Part
from rhapsody_parsl.pilot.account import Account
from rhapsody_parsl.pilot.lane import Lane
from rhapsody_parsl.pilot.pool import Pool, Room
from rhapsody_parsl.pilot.ranking import Ranking
from rhapsody_parsl.pilot.shape import Shape

__all__ = ("Group", "Groups")


class Group:
    """Shapes of one runtime that ask the same of each node: they differ in how many nodes they need.

    Args:
        room: The open nodes that may hold a part.
    """

    __slots__ = ("_by_need", "_needs", "room")

    def __init__(self, room: Room) -> None:
        self.room = room
        self._needs: list[int] = []
        self._by_need: dict[int, Ranking[Shape[Lane]]] = {}

    def add(self, shape: Shape[Lane]) -> None:
        """Tasks of a shape wait, or its first claim may be an older one."""
        need = shape.demand.needs
        ranking = self._by_need.get(need)
        if ranking is None:
            insort(self._needs, need)
            ranking = self._by_need[need] = Ranking(self._order)
        ranking.add(shape)

    def fitting(self) -> Iterator[Ranking[Shape[Lane]]]:
        """Yield the shapes of each number of nodes that there may be; numbers that nobody needs are forgotten."""
        if not self._needs or not (available := self.room.available(self._needs[-1])):
            return
        for need in self._needs[: bisect_right(self._needs, available)]:
            ranking = self._by_need[need]
            if ranking.front() is None:
                self._needs.remove(need)
                del self._by_need[need]
            else:
                yield ranking

    def fitting_in(self, pool: Pool) -> Iterator[Shape[Lane]]:
        """Yield the first shape of each number of nodes that there may be with those of another pool."""
        if not self._needs or not (found := pool.room(self.room.demand).available(most := self._needs[-1])):
            return
        found += self.room.available(most)
        for need in self._needs[: bisect_right(self._needs, found)]:
            if front := self._by_need[need].front():
                yield front[1]

    def waits_before(self, order: float, account: Account, back: Part) -> bool:
        """Whether one with an older claim would have room on a node, if so much more of it were free."""
        demand = self.room.demand
        if not demand.would_hold(account, back):
            return False
        most = (account.free_cores + back.cores) // demand.per_rank if demand.per_rank else 1
        for need in self._needs[: bisect_right(self._needs, most)]:
            front = self._by_need[need].front()
            if front is not None and front[0] < order:
                return True
        return False

    @property
    def is_unused(self) -> bool:
        """Whether nobody waits here."""
        return not self._needs

    def _order(self, shape: Shape[Lane]) -> float | None:
        return shape.order if shape.room is self.room else None  # it may ask for less by now


class Groups:
    """All groups of a block."""

    def __init__(self) -> None:
        self._groups: dict[tuple[Hashable, str], Group] = {}

    def add(self, shape: Shape[Lane]) -> None:
        """Tasks of a shape wait, or its first claim may be an older one."""
        key = (shape.demand.key, shape.gate)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = Group(shape.room)
        group.add(shape)

    def clear(self) -> None:
        """Nobody waits."""
        self._groups.clear()

    def fitting(self, ready: Collection[str]) -> list[Ranking[Shape[Lane]]]:
        """Return the shapes that may find room, by what they need, of runtimes that are ready."""
        fitting: list[Ranking[Shape[Lane]]] = []
        for key, group in list(self._groups.items()):
            room = group.room
            if key[1] in ready and room.levels.occupied >> room.demand.least:
                fitting += group.fitting()
                if group.is_unused:
                    del self._groups[key]
        return fitting

    def fitting_in(self, pool: Pool, ready: Collection[str]) -> Iterator[Shape[Lane]]:
        """Yield shapes that may find room on nodes of a pool beside the open ones, of runtimes that are ready."""
        for (_, gate), group in list(self._groups.items()):
            if gate in ready and pool.parts.occupied >> group.room.demand.least:
                yield from group.fitting_in(pool)

    def waits_before(self, order: float, account: Account, back: Part, ready: Collection[str]) -> bool:
        """Whether somebody with an older claim would have room on a node, if so much more of it were free."""
        return any(
            gate in ready and group.waits_before(order, account, back) for (_, gate), group in self._groups.items()
        )
