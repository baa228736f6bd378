"""A service: its replicas and their leases, and what tasks and people are told of it."""

import time
from collections.abc import Callable
from typing import Protocol

from rhapsody_parsl.annotations.policy import PolicyValue
from rhapsody_parsl.annotations.resources import Resources
from rhapsody_parsl.annotations.task_spec import TaskSpec
from rhapsody_parsl.block.context import Borrow, Context, Placed
from rhapsody_parsl.block.exchange import Exchange
from rhapsody_parsl.errors import RhapsodyError, ServiceFailed
from rhapsody_parsl.hosts.ending import Cause
from rhapsody_parsl.service_config import ServiceConfig
from rhapsody_parsl.services.protocol import Kind
from rhapsody_parsl.services.replica import Replica
from rhapsody_parsl.services.restarts import Death, Unexplained
from rhapsody_parsl.wire.messages import FromBackend
from rhapsody_parsl.wire.reports import ServiceReport
from rhapsody_parsl.wire.states import ServiceState

__all__ = ("Listener", "Service")

_SHOWN: tuple[ServiceState, ...] = ("ready", "starting", "failed", "stopped")
"""The state of a service is the first of these that one of its replicas has."""


class Listener(Protocol):
    """Who gives work to a service."""

    def changed(self, replica: Replica) -> None:
        """A replica's state changed."""

    def died(self, replica: Replica, failure: ServiceFailed, cause: Cause) -> Death:
        """A replica that was ready died; return what that counts against it."""

    def heard(self, replica: Replica, message: FromBackend) -> None:
        """A replica's head said something about its work."""


class Service:
    """One of the user's services in this block.

    Args:
        kind: Of service.
        context: The block.
        borrow: Lends each replica its lease.
        hub: Where the replicas' processes speak.
        secret: Generated for it.
        on_change: Called when the service is another than before.

    Attributes:
        listener: Who gives work to it, None where tasks speak to it themselves.
    """

    def __init__(
        self,
        kind: Kind,
        context: Context,
        borrow: Borrow,
        *,
        hub: Exchange,
        secret: str,
        on_change: Callable[[], None],
    ) -> None:
        self.kind, self._secret, self._on_change = kind, secret, on_change
        self.listener: Listener | None = None
        self.replicas: list[Replica] = []
        for index in range(kind.config.replicas):
            placed = _lend(kind, index, borrow)
            replica = Replica(kind, index, placed or (), context, hub=hub, secret=secret, owner=self)
            self.replicas.append(replica)
            if placed is None:
                replica.give_up(ServiceFailed(kind.config.name, _no_room(kind.config, index, len(context.nodes))))

    @property
    def name(self) -> str:
        """The user's name of it."""
        return self.kind.config.name

    @property
    def error(self) -> RhapsodyError | None:
        """Why no replica will ever answer, or None while one may."""
        errors = [replica.error for replica in self.replicas]
        return errors[0] if all(errors) else None

    # --- what replicas tell --------------------------------------------------------------------------------------

    def changed(self, replica: Replica) -> None:
        """A replica's state changed."""
        if len(self.replicas) == self.kind.config.replicas:
            self._on_change()
        if self.listener:
            self.listener.changed(replica)

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
        state = next(s for s in _SHOWN if s in states)
        shown = next(replica for replica in self.replicas if replica.state == state)
        shares = [part.share for replica in self.replicas for part in replica.placed]
        return ServiceReport(
            name=config.name,
            state=state,
            replicas=config.replicas,
            ready=states.count("ready"),
            cores=sum(len(share.cores) for share in shares),
            gpus=config.gpus * config.nodes * config.replicas,
            node=",".join(dict.fromkeys(share.node for share in shares)),
            url=shown.facts.url if state == "ready" else "",
            model=self.kind.what,
            since=shown.since,
            detail=shown.detail,
        )


def _lend(kind: Kind, index: int, borrow: Borrow) -> tuple[Placed, ...] | None:
    config = kind.config
    if config.nodes == 1 and not (config.cores or config.gpus or config.memory or config.labels):
        return ()
    name = f"service {config.name}[{index}]"
    policy = PolicyValue(labels=config.labels)
    wants = TaskSpec(name=name, runtime=kind.name, resources=_resources(config), policy=policy)
    return borrow(name, wants, config.name)


def _resources(config: ServiceConfig) -> Resources:
    """Return what a replica takes: of one node, or, as a gang does, the same of each of several."""
    if config.nodes == 1:
        return Resources(cores=config.cores, gpus=config.gpus, memory=config.memory)
    return Resources(
        num_ranks=config.nodes,
        num_nodes=config.nodes,
        ranks_per_node=1,
        cores_per_rank=config.cores,
        gpus_per_rank=config.gpus,
        memory=config.memory,
    )


def _no_room(config: ServiceConfig, index: int, nodes: int) -> str:
    wants = [f"{config.cores} cores"]
    wants += [f"{config.gpus:g} GPUs"] if config.gpus else []
    wants += [f"{config.memory:g} GB"] if config.memory else []
    wants += [f"labels {', '.join(config.labels)}"] if config.labels else []
    each = f" on each of {config.nodes} nodes; the block has {nodes}" if config.nodes > 1 else ""
    return f"the block has no room left for replica {index} ({', '.join(wants)}{each})"
