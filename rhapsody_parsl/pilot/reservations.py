"""The nodes kept free for those that have waited long enough, and who may use them."""

import math
from collections.abc import Collection, Iterator
from functools import partial

from rhapsody_parsl.annotations.resources import Part
from rhapsody_parsl.pilot import scheduler
from rhapsody_parsl.pilot.backlog import Backlog
from rhapsody_parsl.pilot.demand import Demand
from rhapsody_parsl.pilot.expected_ends import ExpectedEnds
from rhapsody_parsl.pilot.kept_nodes import KeptNodes
from rhapsody_parsl.pilot.lane import ActiveRun, Lane
from rhapsody_parsl.pilot.ledger import Ledger
from rhapsody_parsl.pilot.pool import Pool, Room
from rhapsody_parsl.pilot.shape import Shape
from rhapsody_parsl.wire.messages import Task

__all__ = ("Reservations",)

MOST, PART, FEW = 2, 8, 4
"""Shapes that have nodes kept free at a time, those with the first claims. Beside those of the first claim these are an
eighth of the block or four nodes at most: nodes that drain for many gangs at once stand idle."""
_TRY, _AFTER = 30.0, 1e-3
"""Seconds for which nodes are first kept for one who can start only when a service leaves; and then until a look."""


class Reservation(KeptNodes):
    """Nodes kept free for the first task of a shape.

    Args:
        shape: Whose.
        demand: What that task asks.
        pool: The nodes; none where there are not enough besides those of older claims.

    Attributes:
        shape: See above.
        order: The shape's first claim when it was last looked at.
        starts: When the task is expected to start: until then others may use the nodes; 0 where nobody knows.
        sooner: The `sooner` of the expected ends by which that was said.
        until: When it is given up for a while, because no service has left that it waits for.
        seen: When others were last looked for: how often these nodes and those who wait had changed, and how many
            runtimes were ready.
    """

    __slots__ = ("order", "seen", "shape", "sooner", "starts", "until")

    def __init__(self, shape: Shape[Lane], demand: Demand, pool: Pool) -> None:
        super().__init__(demand, pool)
        self.shape, self.order, self.starts = shape, shape.order or 0.0, 0.0
        self.sooner, self.seen, self.until = 0, (-1, -1, 0), math.inf


class Reservations:
    """Those that have waited long enough and find no room, the first claim first, and the nodes kept free for each.

    A reservation stays as it is until its gang starts, the tasks of its shape are gone, or the block or what its
    services hold is another.
    Meanwhile a node on which a part would fit at once replaces one on which it does not yet.

    Nobody knows whether a service will leave. So who can start only then has nodes for a time, others have them for as
    long, and so on; each time is twice as long as the one before.

    Args:
        ledger: The block's.
        backlog: Who waits.
        ready: Names of the runtimes that can take tasks.
        ends: When runs are expected to end; None where kept nodes are closed to all younger claims.

    Attributes:
        changed: Whether one was given up since the last review, so that there is a place for others.
    """

    def __init__(
        self, ledger: Ledger, backlog: Backlog, ready: Collection[str], ends: ExpectedEnds | None = None
    ) -> None:
        self._ledger, self._backlog, self._ready, self._ends = ledger, backlog, ready, ends
        self.changed = False
        self._held: list[Reservation] = []
        self._tries: dict[Shape[Lane], tuple[float, float]] = {}  # when nodes are given up, and for how long
        self._best = ledger.beside_services()

    # --- which nodes are kept --------------------------------------------------------------------------------------

    def clear(self) -> None:
        """Keep nothing: nobody waits."""
        self.give_way()
        self._tries.clear()

    def give_way(self) -> None:
        """Keep nothing until the next review: a service comes first."""
        for each in list(self._held):
            self._drop(each)
        self._ledger.freed.clear()

    def next(self, now: float) -> list[float]:
        """Return in how many seconds nodes are given up for a while, and are kept again."""
        times = [at for gives_up, seconds in self._tries.values() for at in (gives_up, gives_up + seconds)]
        return [at - now + _AFTER for at in times if at > now]

    def review(self, now: float) -> None:
        """Keep nodes for the first of those that have waited long enough, and for nobody else."""
        best = self._ledger.beside_services()
        for each in list(self._held):
            if best is not self._best or now >= each.until or self._is_stale(each, now):
                self._drop(each)
        if self._tries:
            self._try_again(now, anew=best is not self._best)
        self._best = best
        if self._held:
            self._held.sort(key=lambda each: each.order)
            self._retry()
            for each in self._held:
                self._improve(each, now)
        self._ledger.freed.clear()
        while (shape := self._backlog.lateness.first(now, self._ready)) is not None and self._comes_before(shape):
            self._backlog.lateness.take(shape)
            if not self._rests(shape, now) and all(each.shape is not shape for each in self._held):
                self._add(shape, now)
        self.changed = False

    def _rests(self, shape: Shape[Lane], now: float) -> bool:
        """Whether others have the nodes for which it waits together with those of a service."""
        gives_up, seconds = self._tries.get(shape, (math.inf, 0.0))
        return gives_up <= now < gives_up + seconds

    def _try_again(self, now: float, *, anew: bool) -> None:
        """Keep nodes again for those who had given them up, if their time has come or services hold other nodes."""
        for shape, (gives_up, seconds) in list(self._tries.items()):
            if shape.order is None or (anew and gives_up <= now):
                del self._tries[shape]
            elif now < gives_up + seconds:
                continue
            self._backlog.lateness.watch(shape)

    def _until(self, shape: Shape[Lane], now: float) -> float:
        """Return when nodes are given up that are of use only when a service leaves."""
        gives_up, seconds = self._tries.get(shape, (now, _TRY / 2))
        if gives_up <= now:
            gives_up, seconds = self._tries[shape] = now + 2 * seconds, 2 * seconds
        return gives_up

    def _improve(self, each: Reservation, now: float) -> None:
        if now >= each.starts:
            each.improve(self._ledger)
        elif self._ends and each.sooner != self._ends.sooner:
            self._expect(each, now)

    def served(self, shape: Shape[Lane]) -> None:
        """A task of a shape has started: the nodes kept for its gang are in use, or no longer needed."""
        for each in self._held:
            if each.shape is shape and each.demand.needs > 1:
                self._drop(each)
                return

    @property
    def any(self) -> bool:
        """Whether nodes may be kept for somebody."""
        return bool(self._held)

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
        if order is None or first is None or not self._backlog.lateness.is_late(each.shape, now):
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

    def _add(self, shape: Shape[Lane], now: float) -> None:
        first = shape.lanes.first()
        demand = shape.demand if first is None else shape.demand_of(self._backlog.wants(first))
        if len(self._held) >= MOST:
            self._drop(self._held[-1])
        free_at = partial(self._ends.free_at, demand=demand, now=now) if self._ends else None
        chosen = scheduler.reserve(demand, self._ledger, free_at)
        while not chosen and self._held and self._held[-1].order > (shape.order or 0.0):
            self._drop(self._held[-1])
            chosen = scheduler.reserve(demand, self._ledger, free_at)
        if len(chosen) > self._most_beside(shape):
            chosen = []
        added = Reservation(shape, demand, self._ledger.keep(chosen))
        beside = self._ledger.beside_services().accounts
        if sum(demand.holds(beside[account.node.name]) for account in chosen) < demand.needs * bool(chosen):
            added.until = self._until(shape, now)
        elif chosen:
            self._tries.pop(shape, None)
        self._expect(added, now)
        self._held.append(added)
        self._held.sort(key=lambda each: each.order)

    def _expect(self, each: Reservation, now: float) -> None:
        """Say when its task is expected to start; what was said is never put off."""
        if self._ends is None:
            return
        starts = max(map(partial(self._ends.free_at, demand=each.demand, now=now), each.pool), default=math.inf)
        each.sooner = self._ends.sooner
        if starts < math.inf:
            each.starts = min(starts, each.starts or starts)

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
            self._backlog.lateness.watch(each.shape)

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
        order = own.order if own else shape.order or 0.0  # they have been reviewed in this turn
        for each in self._held:
            if each is not own and order < each.order and each.pool.parts.occupied >> shape.demand.least:
                found += each.pool.room(shape.demand).available(needs)
        return found >= needs or (found > 0 and found + shape.room.available(needs) >= needs)

    def rooms(self, lane: Lane, demand: Demand, now: float, task: Task | None = None) -> list[Room]:
        """Return where a task of a lane, or its first one, may find room beside the open nodes."""
        shape, order = lane.shape, lane.shape.order or 0.0
        until = now + self._ends.lasts(lane, task) if self._held and self._ends else math.inf
        return [
            each.pool.room(demand)
            for each in self._held
            if each.shape is shape or order < each.order or until <= each.starts
        ]

    def in_time(self, now: float, ready: Collection[str], ahead: float) -> Iterator[tuple[Lane, Task]]:
        """Yield tasks that would leave nodes that are kept free before these are needed, and their lanes.

        Nodes are looked at when something of them has changed, others wait, or runtimes are ready that were not.

        Args:
            now: The time.
            ready: Names of the runtimes.
            ahead: By how much the claims of those count as lower that need untouched nodes.
        """
        if self._ends is None:
            return
        for each in list(self._held):
            if each.starts <= now or each.seen == (each.pool.changes, self._backlog.joined, len(ready)):
                continue
            first = partial(self._ends.first_within, seconds=each.starts - now)
            yield from self._backlog.within(each.pool, ready, first, ahead)
            each.seen = (each.pool.changes, self._backlog.joined, len(ready))

    def _leaves(self, each: Reservation, now: float, lane: Lane) -> bool:
        return self._ends is not None and now + self._ends.lasts(lane) <= each.starts

    def _may_stay(self, each: Reservation, lane: Lane, now: float) -> bool:
        """Whether a lane may go on where nodes are kept for a claim that is no younger: of equal ones this is first."""
        return each.shape is lane.shape or self._leaves(each, now, lane)

    def allow(self, active: ActiveRun, now: float) -> bool:
        """Whether nobody with an older claim waits for what a run holds."""
        if self._backlog.is_alone(active.lane) or (order := active.lane.order) is None:
            return True
        lease, is_first = active.lease, self._backlog.is_first(order)
        if lease is None or (is_first and not self._held):
            return True
        for share, gpus in zip(lease.shares, lease.gpu_amounts, strict=True):
            account = self._ledger.accounts[share.node]
            for each in self._held:
                if each.pool is account.pool and each.order <= order and not self._may_stay(each, active.lane, now):
                    return False
            back = Part(len(share.cores), sum(gpus), 0.0, share.memory)
            if not is_first and self._backlog.waits_before(order, account, back, self._ready):
                return False
        return True
