"""The replicas of a service: each borrows what it needs, lives, and leaves."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Protocol

from rhapsody_parsl.annotations.task_spec import TaskSpec
from rhapsody_parsl.errors import ServiceFailed
from rhapsody_parsl.hosts.background import spawn
from rhapsody_parsl.in_block.context import Context, Leases, Loan
from rhapsody_parsl.services.borrowing import beside_data, borrower, needs, no_room, size
from rhapsody_parsl.services.protocol import Kind
from rhapsody_parsl.services.replica import Replica
from rhapsody_parsl.services.sleepers import Sleepers

__all__ = ("Changes", "Replicas")


class Changes(Protocol):
    """Who hears what becomes of the replicas."""

    def stopped(self, replica: Replica) -> None:
        """A replica gives no more answers, and its processes are about to stop."""

    def forgotten(self, replica: Replica) -> None:
        """A replica is gone, with its lease."""

    def go_on(self) -> None:
        """A replica has stopped: what waited for that may go on."""


class Replicas:
    """Those that are there, also those that leave.

    A replica that goes, leaves in this order: (1) it is given nothing more and no task finds it, (2) it finishes what
    it has begun, (3) its processes stop, (4) its GPUs are seen free, (5) its lease is given back.

    Args:
        kind: Of service.
        context: The block.
        leases: Where they borrow.
        make: Makes the replica of an index that was started so often before: `(index, starts)`.
        changes: Hears what becomes of them.

    Attributes:
        there: All.
        sleepers: Those that are lent, and sleep.
    """

    def __init__(
        self,
        kind: Kind,
        context: Context,
        leases: Leases,
        *,
        make: Callable[[int, int], Replica],
        changes: Changes,
    ) -> None:
        self._kind, self._context, self._leases, self._make, self._changes = kind, context, leases, make, changes
        self._needs = needs(kind)
        self.there: list[Replica] = []
        self._starts: dict[int, int] = {}
        self._lasting: set[Replica] = set()
        self._wishes: dict[Replica, Callable[[], None]] = {}
        self._lives: dict[Replica, asyncio.Task[None]] = {}
        self._ends: dict[Replica, asyncio.Task[None]] = {}
        self._renewed: set[Replica] = set()
        self._moved: dict[Replica, Loan | None] = {}
        self.sleepers = Sleepers(kind.config.sleeps, leases, self)

    @property
    def staying(self) -> list[Replica]:
        """Those that do not leave, or only to start again."""
        return [replica for replica in self.there if self._stays(replica)]

    def _stays(self, replica: Replica) -> bool:
        return not replica.leaving or replica in self._renewed

    # --- what they borrow ----------------------------------------------------------------------------------------

    def lack(self, count: int) -> str:
        """Return why the block can never hold so many, "" when it can."""
        missing = count - sum(map(self._stays, self._lasting))
        return self._leases.lack(self._needs, missing) if self._needs and missing > 0 else ""

    def add(self) -> Replica:
        """Have a replica more; it has no lease yet, and does not live."""
        index = min(set(range(len(self.there) + 1)) - {replica.index for replica in self.there})
        replica = self._make(index, self._starts.get(index, 0))
        self.there.append(replica)
        return replica

    def add_for_good(self) -> None:
        """Have a replica more that borrows for the block's life, or give it up: nobody will give back anything yet."""
        replica = self.add()
        if self._needs:
            self._lasting.add(replica)
        if not self._lend(replica):
            config, nodes = self._kind.config, len(self._context.nodes)
            replica.give_up(ServiceFailed(config.name, no_room(config, replica.index, nodes)))

    def add_if_room(self) -> bool:
        """Have a replica more, which lives, if the block has room for it now; return whether it has."""
        replica = self.add()
        if not self._lend(replica):
            self.there.remove(replica)
            return False
        self.begin(replica)
        return True

    def _lend(self, replica: Replica) -> bool:
        """Have it borrow what it needs and has not yet; return whether it has all."""
        if self._needs and replica.loan is None:
            name = self._kind.config.name
            replica.loan = self._leases.lend(borrower(name, replica.index), self._wants(self._needs), name)
        return not self._needs or replica.loan is not None

    def ask(self, replica: Replica, granted: Callable[[Loan], None], *, resting: Loan | None = None) -> None:
        """Have a replica wait for a lease, or for what it held before its own rested."""
        assert self._needs  # noqa: S101 - who needs nothing does not wait
        name, use = self._kind.config.name, partial(self._granted, replica, granted)
        replica.wait(f"it waits until {size(self._kind.config)} are free")
        wants = self._wants(self._needs)
        self._wishes[replica] = self._leases.ask(borrower(name, replica.index), wants, name, use, resting=resting)

    def _wants(self, needs: TaskSpec) -> TaskSpec:
        return beside_data(needs, self._kind.config, self._context.nearest)

    def _granted(self, replica: Replica, granted: Callable[[Loan], None], loan: Loan) -> None:
        if self._wishes.pop(replica, None) is not None:
            granted(loan)
        elif replica.loan and replica.loan.lease == loan.lease:
            replica.loan = loan  # it leaves, and gives it back then
        else:
            loan.give_back()  # it left meanwhile

    def _begin_with(self, replica: Replica, loan: Loan) -> None:
        replica.loan = loan
        self.begin(replica)

    # --- how they live -------------------------------------------------------------------------------------------

    def begin(self, replica: Replica) -> None:
        """Have it live, as soon as there is room."""
        replica.leaving = False
        if self._needs and not self._lend(replica):
            self.ask(replica, partial(self._begin_with, replica))
            return
        self._lives[replica] = spawn(replica.live(), f"service {replica.name}")

    def leave(self, replica: Replica, drain: bool) -> None:
        """Have it go, once it has finished what it has begun; without `drain` at once."""
        self._renewed.discard(replica)
        replica.leave()
        if not drain:
            self.end(replica)

    def renew(self, replica: Replica, drain: bool) -> None:
        """Have it go, as `leave` does, and live again with the lease that it has."""
        self.leave(replica, drain)
        self._renewed.add(replica)

    def rest(self, replica: Replica, loan: Loan) -> None:
        """Its engine sleeps: it holds no more than this, and what it had is no longer its own for the block's life."""
        self._lasting.discard(replica)
        replica.rest(loan)

    def move(self, replica: Replica, loan: Loan | None) -> None:
        """Have its processes stop, and start with another lease, or with one that it has to wait for."""
        self._moved[replica] = loan
        self.end(replica)

    def end(self, replica: Replica) -> None:
        """Have its processes stop now; idempotent."""
        if replica in self.there and replica not in self._ends:
            self._ends[replica] = spawn(self._end(replica), f"stop {replica.name}")

    async def stop(self) -> None:
        """Stop all, at once; returns when they are gone."""
        await self.sleepers.stop()
        tasks = [*self._lives.values(), *self._ends.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(replica.stop() for replica in self.there))
        self._lives, self._ends = {}, {}

    async def _end(self, replica: Replica) -> None:
        if withdraw := self._wishes.pop(replica, None):
            withdraw()
        if life := self._lives.pop(replica, None):
            life.cancel()
            await asyncio.gather(life, return_exceptions=True)
        self._changes.stopped(replica)
        await replica.stop()
        await replica.gpus_free()
        del self._ends[replica]
        self.sleepers.forget(replica)
        moves = self._exchange(replica)
        if moves or replica in self._renewed:
            self._renewed.discard(replica)
            self.begin(replica)
        else:
            self._forget(replica)
        self._changes.go_on()

    def _exchange(self, replica: Replica) -> bool:
        """Have a replica that moves hold its new lease instead of the other; return whether it lives on."""
        if replica not in self._moved:
            return False
        before, replica.loan = replica.loan, self._moved.pop(replica)
        replica.resting = False
        if before:
            before.give_back()
        return not replica.leaving

    def _forget(self, replica: Replica) -> None:
        self.there.remove(replica)
        self._lasting.discard(replica)
        self._starts[replica.index] = replica.starts
        if replica.loan:
            replica.loan.give_back()
        self._changes.forgotten(replica)
