"""A service: its replicas, and what tasks and people are told of it."""

import time
from collections.abc import Callable, Sequence

from rhapsody_parsl.errors import RhapsodyError, ServiceFailed
from rhapsody_parsl.hosts.ending import Cause
from rhapsody_parsl.in_block.context import Context, Leases
from rhapsody_parsl.in_block.exchange import Exchange
from rhapsody_parsl.service_config import ServiceConfig, stopped
from rhapsody_parsl.services.front import Front, NoFront
from rhapsody_parsl.services.listener import Listener
from rhapsody_parsl.services.number import Number
from rhapsody_parsl.services.protocol import Kind
from rhapsody_parsl.services.replica import Replica
from rhapsody_parsl.services.replicas import Replicas
from rhapsody_parsl.services.restarts import Death, Unexplained
from rhapsody_parsl.wire.engine_messages import Pulse
from rhapsody_parsl.wire.messages import FromBackend
from rhapsody_parsl.wire.reports import ServiceReport
from rhapsody_parsl.wire.states import SHOWN_FIRST, ServiceState

__all__ = ("Service",)


class Service:
    """One of the user's services in this block.

    Args:
        kind: Of service.
        context: The block.
        leases: Where it borrows.
        hub: Where the replicas' processes speak.
        secret: Generated for it.
        on_change: Called when the service is another than before.

    Attributes:
        kind: See above.
        secret: See above.
        front: Who gives work to it beside its listener.
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
        self._hub, self.secret = hub, secret
        self.listener: Listener | None = None
        self.front: Front = NoFront()
        self._replicas = Replicas(kind, context, leases, make=self._make, changes=self)
        self._number = Number(kind.config, self._replicas, self)
        self._started = self.proven = False
        self._since = time.time()
        for _ in range(self.wanted):
            self._replicas.add_for_good()

    def _make(self, index: int, starts: int) -> Replica:
        return Replica(self.kind, index, self._context, starts=starts, hub=self._hub, secret=self.secret, owner=self)

    @property
    def name(self) -> str:
        """The user's name of it."""
        return self.kind.config.name

    @property
    def replicas(self) -> list[Replica]:
        """Those that are there, also those that leave."""
        return self._replicas.there

    @property
    def wanted(self) -> int:
        """How many replicas there are to be."""
        return self._number.wanted

    @property
    def error(self) -> RhapsodyError | None:
        """Why no replica will ever answer, or None while one may."""
        if not self.replicas:
            return None if self._number.most else stopped(self.name)
        errors = [replica.error for replica in self.replicas]
        return errors[0] if all(errors) else None

    @property
    def refusal(self) -> RhapsodyError | None:
        """Why it takes no further requests, or None while it does."""
        return self.error if self._number.most else stopped(self.name)

    @property
    def pending(self) -> int:
        """Requests that have not ended."""
        return (self.listener.pending if self.listener else 0) + self.front.pending(self.name)

    @property
    def to_come(self) -> int:
        """Requests of tasks that wait for their turn, and are not here yet."""
        return self._leases.requests(self.name)

    def held(self, replica: Replica) -> int:
        """Return how many of them a replica holds."""
        return (self.listener.held(replica) if self.listener else 0) + self.front.held(replica.peer)

    def keeps(self, replica: Replica) -> bool:
        """Return whether the front door is to give a replica nothing now."""
        return bool(self.listener and self.listener.keeps(replica))

    @property
    def parting(self) -> bool:
        """Whether replicas are to go once they have nothing left to do."""
        return self._number.parting

    def start(self) -> None:
        """Set every replica going that has room."""
        self._started = True
        for replica in self.replicas:
            if replica.error is None:
                self._replicas.begin(replica)

    async def stop(self) -> None:
        """Stop all replicas, at once; returns when they are gone."""
        self._started = False
        await self._replicas.stop()

    def serve(self, replicas: int | tuple[int, int], drain: bool = True, renew: bool = False) -> None:
        """Have so many replicas from now on.

        Args:
            replicas: How many, or at least and at most; with 0 and `drain`, requests that are there are still answered.
            drain: Whether those that go finish what they have begun.
            renew: Whether those that stay are started again, one after the other, or, without `drain`, all at once.

        Raises:
            ServiceFailed: The block can never hold as many; nothing has changed.
        """
        self._number.set(replicas, drain, renew)
        self.go_on()
        self._on_change()

    def adapt(self, config: ServiceConfig, unload: Sequence[str]) -> None:
        """Have what can change of it while it runs as it is configured now; see `Kind.adapt`.

        Raises:
            ServiceFailed: It cannot be so; nothing has changed.
        """
        if news := self.kind.adapt(config, unload):
            for replica in self.replicas:
                if replica.state == "ready":
                    replica.send(news)

    def look(self, now: float) -> None:
        """See how its replicas are, and how many of them the requests need; asked again and again.

        Args:
            now: The time.
        """
        for replica in self.replicas:
            if self.front.held(replica.peer):
                replica.worked_at = now
        if self.listener:
            self.listener.look(now)
        if self._number.look(now):
            self.go_on()
            self._on_change()
        elif self.parting:  # what was to come may have been cancelled
            self.go_on()

    def spare(self, now: float) -> list[Replica]:
        """Return the replicas whose leases could go to tasks, the best to part with first."""
        return self._number.spare(now)

    def lend(self, replica: Replica, now: float) -> None:
        """Have a replica's lease go to tasks, until requests need it."""
        self._number.lend(replica, now)
        self.go_on()
        self._on_change()

    # --- what replicas tell --------------------------------------------------------------------------------------

    def changed(self, replica: Replica) -> None:
        """A replica's state changed."""
        if replica.state == "ready":
            self.proven = True
            if news := self.kind.adapt(self.kind.config):
                replica.send(news)
        if self.listener:
            self.listener.changed(replica)
        if self._started:
            self._on_change()
            self.go_on()

    def stopped(self, replica: Replica) -> None:
        """A replica gives no more answers."""
        if self.listener:
            self.listener.gone(replica)

    def forgotten(self, replica: Replica) -> None:
        """A replica is gone; it may have been the last: what waits fails."""
        self.stopped(replica)
        self._on_change()

    def go_on(self) -> None:
        """Do what had to wait."""
        self._number.go_on()

    def relieved(self) -> None:
        """The listener has fewer requests than before."""
        if self._started:
            self.go_on()

    def died(self, replica: Replica, failure: ServiceFailed, cause: Cause) -> Death:
        """A replica that was ready died."""
        return self.listener.died(replica, failure, cause) if self.listener else Unexplained(time.monotonic())

    def heard(self, replica: Replica, message: FromBackend) -> None:
        """A replica's head said something about its work.

        Raises:
            TypeError: Nobody gave it any.
        """
        if self.listener is None:
            if isinstance(message, Pulse):
                return
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
                return self.kind.address(replica.facts, self.secret)
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
            changing=self._number.changing,
            cores=sum(len(share.cores) for share in shares),
            gpus=config.gpus * config.nodes * sum(bool(one.loan) and not one.resting for one in self.replicas),
            node=",".join(dict.fromkeys(share.node for share in shares)),
            url=shown.facts.url if shown and state == "ready" else "",
            model=self.kind.what,
            since=shown.since if shown else self._since,
            detail=self._detail(shown),
        )

    def _detail(self, shown: Replica | None) -> str:
        """Return what people are told of the replica that is shown, or else of another that has something to tell."""
        if shown is None:
            return "the first request starts it" if self._number.most else ""
        return next((replica.detail for replica in (shown, *self.replicas) if replica.detail), "")
