"""A block's services: they start and stop with it, and tasks find in their variables where they are."""

import asyncio
import json
import secrets
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from rhapsody_parsl.block.context import Borrow, Context
from rhapsody_parsl.block.exchange import Exchange
from rhapsody_parsl.service import ENVIRONMENT_VARIABLE
from rhapsody_parsl.service_config import variable_of
from rhapsody_parsl.services.protocol import Kind
from rhapsody_parsl.services.replica import Replica
from rhapsody_parsl.services.service import Service
from rhapsody_parsl.wire.failures import to_wire
from rhapsody_parsl.wire.messages import Failed, FromBackend, Ready, Rendezvous

__all__ = ("Services",)


class Services:
    """Those of a block, in the user's order.

    Stopping runs in this order: (1) no replica is started again, (2) the replicas' processes end, all at once, (3) the
    hub closes.

    Args:
        kinds: Of each service.
        context: The block.
        borrow: Lends each replica its lease for the block's life.
    """

    def __init__(self, kinds: Sequence[Kind], context: Context, borrow: Borrow) -> None:
        self._context = context
        self._hub = Exchange(context, "services", self._receive)
        self._lives: list[asyncio.Task[None]] = []
        self._started = False
        self._services = {
            kind.config.name: Service(
                kind, context, borrow, hub=self._hub, secret=secrets.token_urlsafe(24), on_change=self._changed
            )
            for kind in kinds
        }

    def __iter__(self) -> Iterator[Service]:
        """Go over the services."""
        return iter(self._services.values())

    def start(self) -> None:
        """Set every replica going; idempotent."""
        if self._started or not self._services:
            return
        self._started = True
        self._hub.start()
        for replica in self._replicas():
            if replica.error is None:
                self._lives.append(asyncio.create_task(replica.live(), name=f"service {replica.name}"))
        self._changed()

    async def stop(self) -> None:
        """Stop everything; idempotent."""
        if not self._started:
            return
        for life in self._lives:
            life.cancel()
        await asyncio.gather(*self._lives, return_exceptions=True)
        await asyncio.gather(*(replica.stop() for replica in self._replicas()))
        self._hub.stop()
        self._started, self._lives = False, []

    def _replicas(self) -> list[Replica]:
        return [replica for service in self for replica in service.replicas]

    def _receive(self, peer: str, message: FromBackend) -> None:
        found = next(((service, one) for service in self for one in service.replicas if one.peer == peer), None)
        if found is None:
            return  # one that was given up
        service, replica = found
        match message:
            case Ready() | Failed() | Rendezvous():
                replica.hear(message)
            case _:
                service.heard(replica, message)

    def _changed(self) -> None:
        """Let tasks and people know."""
        if not self._started:
            return
        known: dict[str, object] = {}
        variables: dict[str, str] = {}
        for service in self:
            if (address := service.address()) is not None:
                known[service.name] = {"url": service.url, **address}
                variables = _variables(service, address) | variables
            elif error := service.error:
                known[service.name] = {"error": to_wire(error)}
        self._context.environment.update({ENVIRONMENT_VARIABLE: json.dumps(known), **variables})
        self._context.events.services([service.describe() for service in self])


def _variables(service: Service, address: dict[str, str]) -> dict[str, str]:
    """Return the variables of a service that is ready; they stay when it is not, for a restart takes the same port."""
    prefix, parts = variable_of(service.name), urlsplit(service.url)
    own = {f"{prefix}_URL": service.url, f"{prefix}_HOST": parts.hostname or "", f"{prefix}_PORT": str(parts.port)}
    if secret := address.get("secret"):
        own[f"{prefix}_SECRET"] = secret
    return own | service.kind.variables(address)
