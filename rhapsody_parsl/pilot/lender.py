"""Places runs and services on nodes, lends them what they hold there, and keeps the record of it."""

from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence

import msgspec

from rhapsody_parsl.annotations.task_spec import TaskSpec
from rhapsody_parsl.pilot import scheduler
from rhapsody_parsl.pilot.agent_places import AgentPlaces
from rhapsody_parsl.pilot.demand import Demand
from rhapsody_parsl.pilot.lane import ActiveRun
from rhapsody_parsl.pilot.ledger import Lease, Ledger
from rhapsody_parsl.pilot.pool import Room
from rhapsody_parsl.pilot.service_places import loneliest, wishes
from rhapsody_parsl.runtimes.protocol import Placed
from rhapsody_parsl.wire.leases import LeaseRecord

__all__ = ("Lender",)

_MOST_HOMES = 10_000
"""Keys that tasks ask to be near; the one not asked for longest is forgotten."""


class Lender:
    """Lends a block's nodes.

    Args:
        ledger: The block's.
        clock: Seconds since the epoch, for the record.

    Attributes:
        services: Record of what services hold.
    """

    def __init__(self, ledger: Ledger, clock: Callable[[], float]) -> None:
        self._ledger, self._clock = ledger, clock
        self._homes: OrderedDict[str, str] = OrderedDict()  # nodes by what tasks ask to be near
        self._service_homes: dict[str, dict[int, str]] = {}  # the same, by the services' leases
        self._agents = AgentPlaces(ledger.accounts)
        self._closed: list[LeaseRecord] = []
        self.services: list[LeaseRecord] = []

    def lend(
        self, spec: TaskSpec, demand: Demand | None = None, rooms: Sequence[Room] | None = None
    ) -> tuple[Lease, tuple[Placed, ...]] | None:
        """Lend what a run of a spec needs; None when it does not fit now. See `scheduler.place`."""
        near = spec.policy.near
        node = self.home(near) if near else self._agents.loneliest(spec, demand, rooms) if spec.mailbox else ""
        placing = scheduler.place(spec, self._ledger, node, demand=demand, rooms=rooms)
        lease = self._ledger.acquire(spec.name, placing) if placing else None
        if lease is None or placing is None:
            return None
        if near:
            self.note_place(near, lease.shares[0].node)
        if spec.mailbox:
            self._agents.came(lease.shares[0].node)
        return lease, self._placed(lease, placing)

    def home(self, near: str) -> str:
        """Return the node where what is near something is to go; "" while there is none. A node is near itself."""
        if homes := self._service_homes.get(near):
            return next(iter(homes.values()))
        return near if near in self._ledger.accounts else self._homes.get(near, "")

    def note_place(self, near: str, node: str) -> None:
        """A task that is to be near something goes to a node: so will the others, unless it has a place."""
        if not self._service_homes.get(near):
            self._homes.setdefault(near, node)
            self._homes.move_to_end(near)
            if len(self._homes) > _MOST_HOMES:
                self._homes.popitem(last=False)

    def refit(self, active: ActiveRun, cores: int, memory: float) -> bool:
        """Have a run's lease, of one node, hold other cores and memory; for the record it is another one.

        Args:
            active: The run.
            cores: How many.
            memory: GB.

        Returns:
            Whether it does; if not, its node has not so much.
        """
        lease = active.lease
        changed = self._ledger.refit(lease, cores, memory) if lease else None
        if changed is None:
            return False
        self._begin_anew(active)
        active.lease = changed
        (placed,) = active.run.placed
        active.run.placed = (Placed(placed.node, changed.shares[0], placed.ranks),)
        return True

    def lend_on(self, active: ActiveRun) -> None:
        """Others may have the cores of a run, of one node; for the record it has another lease from now on."""
        if active.lease is not None:
            self._begin_anew(active)
            active.lent = len(active.lease.shares[0].cores)
            active.lease = self._ledger.without_cores(active.lease)
            (placed,) = active.run.placed
            active.run.placed = (Placed(placed.node, active.lease.shares[0], placed.ranks),)

    def lend_to_service(
        self, borrower: str, wants: TaskSpec, key: str, *, lasting: bool, rooms: Sequence[Room] | None = None
    ) -> tuple[Lease, tuple[Placed, ...]] | None:
        """Lend something to a service.

        Args:
            borrower: Who holds it, for the record.
            wants: What, and of which nodes; its runtime is the kind of service, for the record.
            key: Tasks that ask to be `near` this go to the lease's first node.
            lasting: Whether tasks are never to count on it.
            rooms: See `scheduler.place`.

        Returns:
            The lease and its parts, or None when it does not fit now.
        """
        placing = self._place_for_service(wants, key, rooms)
        lease = self._ledger.acquire(borrower, placing, permanent=lasting, for_service=True) if placing else None
        if lease is None or placing is None:
            return None
        if key:
            home = self._homes.get(key, lease.shares[0].node)
            self._service_homes.setdefault(key, {})[lease.id] = home
        self.services.append(LeaseRecord(lease.id, wants.runtime, borrower, lease.shares, self._clock(), 0.0))
        return lease, self._placed(lease, placing)

    def _place_for_service(self, wants: TaskSpec, key: str, rooms: Sequence[Room] | None) -> scheduler.Placing | None:
        accounts = [one for one in self._ledger.accounts.values() if not rooms or any(room.has(one) for room in rooms)]
        mine = self._service_homes.get(key, {})
        like = Counter(share.node for record in self.services if record.lease in mine for share in record.shares)
        for wish in wishes(wants):
            node = loneliest(wish, accounts, like)
            if placing := scheduler.place(wish, self._ledger, node, demand=Demand(wish), rooms=rooms):
                return placing
        return None

    def rest_for_service(self, lease: Lease) -> tuple[Lease, tuple[Placed, ...]]:
        """A service lends its cores and GPUs on: the lease holds its memory only. See `Ledger.rest`."""
        return self._changed_for_service(self._ledger.rest(lease))

    def restore_for_service(self, resting: Lease, full: Lease) -> tuple[Lease, tuple[Placed, ...]] | None:
        """A service has what it lent on again, or None while others have it. See `Ledger.restore`."""
        lease = self._ledger.restore(resting, full)
        return self._changed_for_service(lease) if lease else None

    def _changed_for_service(self, lease: Lease) -> tuple[Lease, tuple[Placed, ...]]:
        """For the record what a service held ends now, and it goes on with what it holds."""
        record = self._close_record(lease)
        self.services.append(msgspec.structs.replace(record, shares=lease.shares, began=self._clock()))
        accounts = self._ledger.accounts
        return lease, tuple(Placed(accounts[share.node].node, share) for share in lease.shares)

    def _close_record(self, lease: Lease) -> LeaseRecord:
        (record,) = [record for record in self.services if record.lease == lease.id]
        self.services.remove(record)
        self._closed.append(msgspec.structs.replace(record, ended=self._clock()))
        return record

    def take_back_from_service(self, lease: Lease) -> None:
        """A service needs a lease no more."""
        self._ledger.release(lease)
        self._close_record(lease)
        for homes in self._service_homes.values():
            homes.pop(lease.id, None)

    def _placed(self, lease: Lease, placing: scheduler.Placing) -> tuple[Placed, ...]:
        accounts = self._ledger.accounts
        parts = zip(lease.shares, placing, strict=True)
        return tuple(Placed(accounts[name].node, share, part.ranks) for share, (name, part) in parts)

    def begin(self, active: ActiveRun, name: str) -> None:
        """A run puts its lease to use, for an app of this name; if it has no task left of another, that record ends."""
        if active.total and not active.has:
            self.pause(active)
        if not active.total:
            active.began, active.name = self._clock(), name

    def pause(self, active: ActiveRun) -> None:
        """A run has no task left: for the record its lease ends now."""
        if active.total and active.lease is not None:
            self._closed.append(active.record(self._clock()))
            active.total = 0

    def note_parent(self, active: ActiveRun, parent: int) -> None:
        """A run is given what this task has submitted, 0 for the driver: for the record its lease is another one."""
        if parent != active.parent:
            self._begin_anew(active)
            active.parent = parent

    def _begin_anew(self, active: ActiveRun) -> None:
        """For the record what a run held ends now, and it goes on with another lease, and what is in flight."""
        has, now = active.has, self._clock()
        if active.total:
            active.total -= has
            self._closed.append(active.record(now))
        active.began, active.total = now, has

    def release(self, active: ActiveRun) -> None:
        """A run is over."""
        self.pause(active)
        if active.lease is not None:
            self._ledger.release(active.lease)
            if active.lane.spec.mailbox:
                self._agents.left(active.lease.shares[0].node)

    @property
    def has_closed(self) -> bool:
        """Whether leases have ended since the last call of `take_closed`."""
        return bool(self._closed)

    def take_closed(self) -> list[LeaseRecord]:
        """Return the record of leases that ended since the last call."""
        closed, self._closed = self._closed, []
        return closed
