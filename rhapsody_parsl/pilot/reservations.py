"""The nodes kept free for those that have waited long enough, and who may use them."""

from collections.abc import Collection, Iterator

from rhapsody_parsl.annotations.resources import Part
from rhapsody_parsl.pilot import scheduler
from rhapsody_parsl.pilot.backlog import Backlog
from rhapsody_parsl.pilot.demand import Demand
from rhapsody_parsl.pilot.kept_nodes import KeptNodes
from rhapsody_parsl.pilot.lane import ActiveRun, Lane
from rhapsody_parsl.pilot.ledger import Ledger
from rhapsody_parsl.pilot.pool import Pool, Room
from rhapsody_parsl.pilot.shape import Shape

__all__ = ("Reservations",)

MOST, PART, FEW = 4, 8, 4
"""Shapes that have nodes kept free at a time, those with the first claims. Beside those of the first claim these are an
eighth of the block or four nodes at most: nodes that drain for many gangs at once stand idle."""


class Reservation(KeptNodes):
    """Nodes kept free for the first task of a shape.

    Args:
        shape: Whose.
        demand: What that task asks.
        pool: The nodes; none where there are not enough besides those of older claims.

    Attributes:
        shape: See above.
        order: The shape's first claim when it was last looked at.
    """

    __slots__ = ("order", "shape")

    def __init__(self, shape: Shape[Lane], demand: Demand, pool: Pool) -> None:
        super().__init__(demand, pool)
        self.shape, self.order = shape, shape.order or 0.0


class Reservations:
    """Those that have waited long enough and find no room, the first claim first, and the nodes kept free for each.

    A reservation stays as it is until its gang starts, the tasks of its shape are gone, or the block or what its
    services hold is another.
    Meanwhile a node on which a part would fit at once replaces one on which it does not yet.

    Args:
        ledger: The block's.
        backlog: Who waits.
        ready: Names of the runtimes that can take tasks.

    Attributes:
        changed: Whether one was given up since the last review, so that there is a place for others.
    """

    def __init__(self, ledger: Ledger, backlog: Backlog, ready: Collection[str]) -> None:
        self._ledger, self._backlog, self._ready = ledger, backlog, ready
        self.changed = False
        self._held: list[Reservation] = []
        self._best = ledger.beside_services()

    # --- which nodes are kept --------------------------------------------------------------------------------------

    def clear(self) -> None:
        """Keep nothing: nobody waits, or a service comes first."""
        for each in list(self._held):
            self._drop(each)
        self._ledger.freed.clear()

    def review(self, now: float) -> None:
        """Keep nodes for the first of those that have waited long enough, and for nobody else."""
        best = self._ledger.beside_services()
        for each in list(self._held):
            if best is not self._best or self._is_stale(each, now):
                self._drop(each)
        self._best, self.changed = best, False
        if self._held:
            self._held.sort(key=lambda each: each.order)
            self._retry()
            for each in self._held:
                each.improve(self._ledger)
        self._ledger.freed.clear()
        while (shape := self._backlog.first_late(now, self._ready)) is not None and self._comes_before(shape):
            self._backlog.take_late(shape)
            if all(each.shape is not shape for each in self._held):
                self._add(shape)

    def served(self, shape: Shape[Lane]) -> None:
        """A task of a shape has started: the nodes kept for its gang are in use, or no longer needed."""
        for each in self._held:
            if each.shape is shape and each.demand.needs > 1:
                self._drop(each)
                return

    def turns_away(self, shape: Shape[Lane]) -> bool:
        """Whether nodes that are kept for others would hold a task of a shape."""
        demand = shape.demand
        return any(
            each.shape is not shape and each.pool.room(demand).available(demand.needs) >= demand.needs
            for each in self._held
        )

    @property
    def held(self) -> dict[str, Shape[Lane]]:
        """The nodes that are kept free, and for whom."""
        return {account.node.name: each.shape for each in self._held for account in each.pool}

    def keeps(self, node: str, shape: Shape[Lane]) -> bool:
        """Whether a node is kept free for somebody else than a shape."""
        pool = self._ledger.accounts[node].pool
        return pool is not self._ledger.open and all(
            each.pool is not pool for each in self._held if each.shape is shape
        )

    def _is_stale(self, each: Reservation, now: float) -> bool:
        """Whether the first task of its shape is another one, for which the nodes may not be right."""
        order, before = each.shape.order, each.order
        if order == before:
            return False
        first = each.shape.lanes.first()
        if order is None or first is None or not self._backlog.is_late(each.shape, now):
            return True
        each.order = order
        return first.varied and self._backlog.wants(first).resources.memory != each.demand.memory

    def _comes_before(self, shape: Shape[Lane]) -> bool:
        """Whether nodes are to be kept for a shape too; never behind an older claim for which there are not enough."""
        last = self._held[-1] if self._held else None
        if last is None or (shape.order or 0.0) < last.order:
            return True
        return len(self._held) < MOST and len(last.pool) > 0

    def _retry(self) -> None:
        """Where younger claims have nodes, and one has not got any, begin anew with that one."""
        for place, each in enumerate(self._held[:-1]):
            if not len(each.pool):
                for younger in self._held[place:]:
                    self._drop(younger)
                return

    def _add(self, shape: Shape[Lane]) -> None:
        first = shape.lanes.first()
        demand = shape.demand if first is None else shape.demand_of(self._backlog.wants(first))
        if len(self._held) >= MOST:
            self._drop(self._held[-1])
        chosen = scheduler.reserve(demand, self._ledger)
        while not chosen and self._held and self._held[-1].order > (shape.order or 0.0):
            self._drop(self._held[-1])
            chosen = scheduler.reserve(demand, self._ledger)
        if len(chosen) > self._most_beside(shape):
            chosen = []
        self._held.append(Reservation(shape, demand, self._ledger.keep(chosen)))
        self._held.sort(key=lambda each: each.order)

    def _most_beside(self, shape: Shape[Lane]) -> int:
        """How many more nodes may be kept for a shape: as many as there are for the first claim."""
        accounts = len(self._ledger.accounts)
        if not self._held or (shape.order or 0.0) < self._held[0].order:
            return accounts
        return max(FEW, accounts // PART) - sum(len(each.pool) for each in self._held[1:])

    def _drop(self, dropped: Reservation) -> None:
        """Keep nodes for one no more; there may be enough now for those for whom there were not."""
        without = [each for each in self._held if each is dropped or not len(each.pool)]  # none, if it is gone already
        self.changed = True
        for each in without:
            self._held.remove(each)
            self._ledger.open_up(each.pool)
            self._backlog.keep_none(each.shape)

    # --- who may use them ------------------------------------------------------------------------------------------

    def may_start(self) -> Iterator[Shape[Lane]]:
        """Yield the shapes that may find room when they use what is kept for them, or for younger claims."""
        if not self._held:
            return
        first = self._backlog.first_claim()
        if first is not None and all(each.shape is not first for each in self._held) and self._may_use(first, None):
            yield first
        for each in self._held:
            if self._may_use(each.shape, each):
                yield each.shape

    def _may_use(self, shape: Shape[Lane], own: Reservation | None) -> bool:
        """Whether there may be room for a shape, some of it on nodes that are kept free."""
        needs = shape.demand.needs
        found = own.room.available(needs) if own else 0
        order = shape.order or 0.0
        for each in self._held:
            if each is not own and order < each.order and each.pool.parts.occupied >> shape.demand.least:
                found += each.pool.room(shape.demand).available(needs)
        return found >= needs or (found > 0 and found + shape.room.available(needs) >= needs)

    def rooms(self, shape: Shape[Lane], demand: Demand) -> list[Room]:
        """Return where a shape may find room beside the open nodes."""
        order = shape.order or 0.0
        return [each.pool.room(demand) for each in self._held if each.shape is shape or order < each.order]

    def allow(self, active: ActiveRun) -> bool:
        """Whether nobody with an older claim waits for what a run holds."""
        if self._backlog.is_alone(active.lane) or (order := active.lane.order) is None:
            return True
        lease = active.lease
        if lease is None:
            return True
        for share, gpus in zip(lease.shares, lease.gpu_amounts, strict=True):
            account = self._ledger.accounts[share.node]
            if any(each.pool is account.pool and each.order < order for each in self._held):
                return False
            back = Part(len(share.cores), sum(gpus), 0.0, share.memory)
            if self._backlog.waits_before(order, account, back, self._ready):
                return False
        return True
