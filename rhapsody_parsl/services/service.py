"""A service: its replicas, how many there are to be, and what tasks and people are told of it."""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Protocol

from rhapsody_parsl.block.context import Context, Leases, Loan
from rhapsody_parsl.block.exchange import Exchange
from rhapsody_parsl.errors import RhapsodyError, ServiceFailed
from rhapsody_parsl.hosts.ending import Cause
from rhapsody_parsl.service_config import ServiceConfig, stopped
from rhapsody_parsl.services.borrowing import borrower, needs, no_room, size
from rhapsody_parsl.services.protocol import Kind
from rhapsody_parsl.services.replica import Replica
from rhapsody_parsl.services.restarts import Death, Unexplained
from rhapsody_parsl.services.scaling import Scaling
from rhapsody_parsl.wire.messages import FromBackend
from rhapsody_parsl.wire.reports import ServiceReport
from rhapsody_parsl.wire.states import SHOWN_FIRST, ServiceState

__all__ = ("Listener", "Service")

_LOOK_EVERY = 0.25
_SETTLED: tuple[ServiceState, ...] = ("ready", "failed")


class Listener(Protocol):
    """Who gives work to a service."""

    @property
    def pending(self) -> int:
        """How many requests it has that have not ended."""

    def held(self, replica: Replica) -> int:
        """Return how many of them a replica holds."""

    def changed(self, replica: Replica) -> None:
        """A replica's state changed."""

    def gone(self, replica: Replica) -> None:
        """A replica was stopped: what it held others are asked."""

    def died(self, replica: Replica, failure: ServiceFailed, cause: Cause) -> Death:
        """A replica that was ready died; return what that counts against it."""

    def heard(self, replica: Replica, message: FromBackend) -> None:
        """A replica's head said something about its work."""


class Service:
    """One of the user's services in this block.

    A replica that goes, leaves in this order: (1) it is given nothing more and no task finds it, (2) it finishes what
    it has begun, (3) its processes stop, (4) its lease is given back.

    Args:
        kind: Of service.
        context: The block.
        leases: Where it borrows.
        hub: Where the replicas' processes speak.
        secret: Generated for it.
        on_change: Called when the service is another than before.

    Attributes:
        kind: See above.
        wanted: How many replicas there are to be.
        replicas: Those that are there, also those that leave.
        listener: Who gives work to it, None where tasks speak to it themselves.
        proven: Whether a replica has been ready.
    """

    def __init__(
        self,
        kind: Kind,
        context: Context,
        leases: Leases,
        *,
        hub: Exchange,
        secret: str,
        on_change: Callable[[], None],
    ) -> None:
        self.kind, self._context, self._leases, self._on_change = kind, context, leases, on_change
        self._hub, self._secret = hub, secret
        self.listener: Listener | None = None
        self._needs = needs(kind)
        self.wanted = kind.config.least
        self._scaling = _scaling(kind.config, kind.config.replicas)
        self._looks: asyncio.Task[None] | None = None
        self.replicas: list[Replica] = []
        self._starts: dict[int, int] = {}
        self._lasting: set[Replica] = set()
        self._wishes: dict[Replica, Callable[[], None]] = {}
        self._lives: dict[Replica, asyncio.Task[None]] = {}
        self._ends: dict[Replica, asyncio.Task[None]] = {}
        self._renewed: set[Replica] = set()
        self._stale: list[Replica] = []
        self._started = self._closing = self.proven = False
        self._since = time.time()
        while len(self.replicas) < self.wanted:
            self._add()
        for replica in self.replicas:
            self._borrow_for_good(replica)

    @property
    def name(self) -> str:
        """The user's name of it."""
        return self.kind.config.name

    @property
    def error(self) -> RhapsodyError | None:
        """Why no replica will ever answer, or None while one may."""
        if not self.replicas:
            return None if self._scaling.most else stopped(self.name)
        errors = [replica.error for replica in self.replicas]
        return errors[0] if all(errors) else None

    @property
    def parting(self) -> bool:
        """Whether replicas are to go once they have nothing left to do."""
        return self._closing or any(replica.leaving for replica in self.replicas)

    # --- how many there are --------------------------------------------------------------------------------------

    def start(self) -> None:
        """Set every replica going that has room."""
        self._started = True
        for replica in self.replicas:
            if replica.error is None:
                self._begin(replica)
        self._looks = asyncio.create_task(self._look_on(), name=f"scale service {self.name}")

    async def stop(self) -> None:
        """Stop all replicas, at once; returns when they are gone."""
        self._started = False
        tasks = [*self._lives.values(), *self._ends.values(), *([self._looks] if self._looks else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(replica.stop() for replica in self.replicas))
        self._lives, self._ends = {}, {}

    def serve(self, replicas: int | tuple[int, int], drain: bool = True, renew: bool = False) -> None:
        """Have so many replicas from now on.

        Args:
            replicas: How many, or at least and at most; with 0 and `drain`, requests that are there are still answered.
            drain: Whether those that go finish what they have begun.
            renew: Whether those that stay are started again, one after the other, or, without `drain`, all at once.

        Raises:
            ServiceFailed: The block can never hold as many; nothing has changed.
        """
        scaling = _scaling(self.kind.config, replicas)
        self._check_room(scaling.least)
        self._scaling = scaling
        self.wanted = min(scaling.most, max(scaling.least, self.wanted))
        self._closing = not scaling.most and drain
        if renew:
            self._stale = [replica for replica in self.replicas if not replica.leaving]
        self._adjust(drain)
        if not drain:
            while self._stale:
                self._renew(self._stale.pop(), drain=False)
        self._go_on()
        self._on_change()

    def _check_room(self, replicas: int) -> None:
        count = replicas - sum(not replica.leaving for replica in self._lasting)
        if self._needs and count > 0 and (lack := self._leases.lack(self._needs, count)):
            each = size(self.kind.config)
            raise ServiceFailed(self.name, f"the block has no room for {replicas} replicas ({each} each): {lack}")

    def _adjust(self, drain: bool) -> None:
        """Add replicas, or have those leave that have the least to do."""
        staying = [replica for replica in self.replicas if not replica.leaving]
        for _ in range(self.wanted - len(staying)):
            self._begin(self._add())
        if self._closing:
            return
        for replica in sorted(staying, key=self._worth)[: max(0, len(staying) - self.wanted)]:
            self._leave(replica, drain)

    async def _look_on(self) -> None:
        """Look again and again how many replicas the requests need."""
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            if self._scaling.least < self._scaling.most:
                self._look()

    def _look(self) -> None:
        pending = self.listener.pending if self.listener else 0
        wanted = self._scaling.wanted(self.wanted, pending, time.monotonic())
        while self.wanted < wanted and self._grow():
            pass
        if wanted < self.wanted:
            self.wanted = wanted
            self._adjust(drain=True)
            self._go_on()
            self._on_change()

    def _grow(self) -> bool:
        """Have a replica more, if there is room; the first waits for room, before the tasks that wait."""
        replica = self._add()
        if self.wanted and not self._lend(replica):
            self.replicas.remove(replica)
            return False
        self.wanted += 1
        self._begin(replica)
        self._on_change()
        return True

    def _worth(self, replica: Replica) -> tuple[int, int, int]:
        held = self.listener.held(replica) if self.listener else 0
        return -SHOWN_FIRST.index(replica.state), held, -replica.index

    def _add(self) -> Replica:
        index = min(set(range(len(self.replicas) + 1)) - {replica.index for replica in self.replicas})
        replica = Replica(
            self.kind,
            index,
            self._context,
            starts=self._starts.get(index, 0),
            hub=self._hub,
            secret=self._secret,
            owner=self,
        )
        self.replicas.append(replica)
        return replica

    # --- one replica's life --------------------------------------------------------------------------------------

    def _borrow_for_good(self, replica: Replica) -> None:
        """Borrow for the block's life, or give it up: nobody has anything yet that will be given back."""
        if self._needs:
            self._lasting.add(replica)
        if not self._lend(replica):
            config, nodes = self.kind.config, len(self._context.nodes)
            replica.give_up(ServiceFailed(self.name, no_room(config, replica.index, nodes)))

    def _lend(self, replica: Replica) -> bool:
        """Have it borrow what it needs and has not yet; return whether it has all."""
        if self._needs and replica.loan is None:
            replica.loan = self._leases.lend(borrower(self.name, replica.index), self._needs, self.name)
        return not self._needs or replica.loan is not None

    def _begin(self, replica: Replica) -> None:
        """Have it live, when there is room."""
        replica.leaving = False
        if self._needs and not self._lend(replica):
            granted = partial(self._granted, replica)
            replica.wait(f"it waits until {size(self.kind.config)} are free")
            self._wishes[replica] = self._leases.ask(
                borrower(self.name, replica.index), self._needs, self.name, granted
            )
            return
        self._lives[replica] = asyncio.create_task(replica.live(), name=f"service {replica.name}")

    def _granted(self, replica: Replica, loan: Loan) -> None:
        if self._wishes.pop(replica, None) is None:
            loan.give_back()  # it left meanwhile
            return
        replica.loan = loan
        self._begin(replica)

    def _leave(self, replica: Replica, drain: bool) -> None:
        replica.leave()
        if not drain:
            self._end(replica)

    def _renew(self, replica: Replica, drain: bool) -> None:
        self._renewed.add(replica)
        self._leave(replica, drain)

    def _end(self, replica: Replica) -> None:
        if replica not in self._ends:
            self._ends[replica] = asyncio.create_task(self._end_it(replica), name=f"stop {replica.name}")

    async def _end_it(self, replica: Replica) -> None:
        if withdraw := self._wishes.pop(replica, None):
            withdraw()
        if life := self._lives.pop(replica, None):
            life.cancel()
            await asyncio.gather(life, return_exceptions=True)
        if self.listener:
            self.listener.gone(replica)
        await replica.stop()
        del self._ends[replica]
        if replica in self._renewed:
            self._renewed.remove(replica)
            self._begin(replica)
        else:
            self._forget(replica)
        self._go_on()

    def _forget(self, replica: Replica) -> None:
        self.replicas.remove(replica)
        self._lasting.discard(replica)
        self._starts[replica.index] = replica.starts
        if replica.loan:
            replica.loan.give_back()
        if self.listener:
            self.listener.gone(replica)  # it may have been the last: what waits fails
        self._on_change()

    def _go_on(self) -> None:
        """Do what had to wait: stop replicas that have nothing left to do, and start the next again that is to be."""
        if self._closing and not (self.listener and self.listener.pending):
            self._closing = False
            self._adjust(drain=True)
        for replica in self.replicas:
            if replica.leaving and not (self.listener and self.listener.held(replica)):
                self._end(replica)
        if self._stale and all(replica.state in _SETTLED for replica in self.replicas):
            replica = self._stale.pop(0)
            if replica in self.replicas:
                self._renew(replica, drain=True)
                self._go_on()

    # --- what replicas tell --------------------------------------------------------------------------------------

    def changed(self, replica: Replica) -> None:
        """A replica's state changed."""
        self.proven = self.proven or replica.state == "ready"
        if self.listener:
            self.listener.changed(replica)
        if self._started:
            self._on_change()
            self._go_on()

    def relieved(self) -> None:
        """The listener has fewer requests than before."""
        if self._started:
            self._go_on()

    def died(self, replica: Replica, failure: ServiceFailed, cause: Cause) -> Death:
        """A replica that was ready died."""
        return self.listener.died(replica, failure, cause) if self.listener else Unexplained(time.monotonic())

    def heard(self, replica: Replica, message: FromBackend) -> None:
        """A replica's head said something about its work.

        Raises:
            TypeError: Nobody gave it any.
        """
        if self.listener is None:
            raise TypeError(f"a replica of service '{self.name}' does not say {type(message).__name__}")
        self.listener.heard(replica, message)

    # --- for tasks and people ------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Where the first replica that is ready answers, "" when none is."""
        return next((replica.facts.url for replica in self.replicas if replica.state == "ready"), "")

    def address(self) -> dict[str, str] | None:
        """Return what a task needs to speak to the service itself, or None while it is not ready."""
        for replica in self.replicas:
            if replica.state == "ready":
                return self.kind.address(replica.facts, self._secret)
        return None

    def describe(self) -> ServiceReport:
        """Return the service's state, without its secret."""
        config = self.kind.config
        states = [replica.state for replica in self.replicas]
        state: ServiceState = next((s for s in SHOWN_FIRST if s in states), "stopped")
        shown = next((replica for replica in self.replicas if replica.state == state), None)
        shares = [part.share for replica in self.replicas for part in replica.placed]
        return ServiceReport(
            name=config.name,
            state=state,
            replicas=self.wanted,
            ready=states.count("ready"),
            changing=sum(one not in _SETTLED for one in states) + len(self._stale) + self._closing,
            cores=sum(len(share.cores) for share in shares),
            gpus=config.gpus * config.nodes * sum(replica.loan is not None for replica in self.replicas),
            node=",".join(dict.fromkeys(share.node for share in shares)),
            url=shown.facts.url if shown and state == "ready" else "",
            model=self.kind.what,
            since=shown.since if shown else self._since,
            detail=shown.detail if shown else "the first request starts it" if self._scaling.most else "",
        )


def _scaling(config: ServiceConfig, replicas: int | tuple[int, int]) -> Scaling:
    least, most = (replicas, replicas) if isinstance(replicas, int) else replicas
    return Scaling(least, most, *config.scaling)
