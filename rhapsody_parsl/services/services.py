"""A block's services: they start and stop with it, and tasks find in their variables where they are."""

import asyncio
import contextlib
import json
import logging
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from urllib.parse import urlsplit

import msgspec

from rhapsody_parsl.hosts.background import spawn
from rhapsody_parsl.in_block.context import Context, Leases
from rhapsody_parsl.in_block.exchange import Exchange
from rhapsody_parsl.service import ENVIRONMENT_VARIABLE, FILE_VARIABLE
from rhapsody_parsl.service_config import ServiceConfig, variable_of
from rhapsody_parsl.services.front import Front, NoFront
from rhapsody_parsl.services.protocol import Kind
from rhapsody_parsl.services.replica import Replica
from rhapsody_parsl.services.service import Service
from rhapsody_parsl.wire.engine_messages import Rendezvous, Turned
from rhapsody_parsl.wire.failures import to_wire
from rhapsody_parsl.wire.messages import Failed, FromBackend, Ready

__all__ = ("Services",)

log = logging.getLogger(__name__)

_LOOK_EVERY = 0.25


class Services:
    """Those of a block, in the user's order.

    Stopping runs in this order: (1) nobody looks any more, (2) no replica is started again, (3) the replicas' processes
    end, all at once, (4) the hub closes.

    Args:
        make: Makes the kind of a service.
        configs: The services that there are at first.
        context: The block.
        leases: Where each replica borrows.
    """

    def __init__(
        self,
        make: Callable[[ServiceConfig], Kind],
        configs: Sequence[ServiceConfig],
        context: Context,
        leases: Leases,
    ) -> None:
        self._make, self._context, self._leases = make, context, leases
        self._hub = Exchange(context, "services", self._receive)
        self._started = False
        self._front: Front = NoFront()
        self._looks: asyncio.Task[None] | None = None
        self._file, self._written = context.logs / "services.json", ""
        self._services: dict[str, Service] = {}
        for config in configs:
            self._add(make(config))

    def __iter__(self) -> Iterator[Service]:
        """Go over the services."""
        return iter(self._services.values())

    def get(self, name: str) -> Service | None:
        """Return the service of a name."""
        return self._services.get(name)

    def stand_behind(self, front: Front) -> None:
        """Be reached by a front door, from before the start."""
        self._front = front
        for service in self:
            self._set_behind(service)

    def start(self) -> None:
        """Set every replica going; idempotent."""
        if self._started:
            return
        self._started = True
        for service in self:
            self._start(service)
        self._changed()

    def _start(self, service: Service) -> None:
        self._hub.start()
        service.start()
        if self._looks is None:
            self._looks = spawn(self._look_on(), "look at services")

    async def _look_on(self) -> None:
        """Look again and again: nobody is told that requests are too many, or that there are none any more."""
        failed = False
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            try:
                self.look(time.monotonic())
            except Exception:  # what went wrong once may go well the next time
                if not failed:
                    log.exception("services could not be looked at")
                failed = True

    def look(self, now: float) -> None:
        """See what each service needs, and what those that wait need of idle replicas.

        Args:
            now: The time.
        """
        for service in self:
            service.look(now)
        self._front.look()
        spare = [(replica, service) for service in self for replica in service.spare(now)]
        spare.sort(key=lambda pair: pair[0].worked_at)
        loans = [replica.loan for replica, _ in spare if replica.loan]
        rest = {replica.loan.lease for replica, service in spare if replica.loan and service.kind.config.sleeps}
        sought = {loan.lease for loan in self._leases.sought(loans, now, rest)} if loans else ()
        for replica, service in spare:
            if replica.loan and replica.loan.lease in sought:
                service.lend(replica, now)

    def serve(
        self, config: ServiceConfig, drain: bool = True, renew: bool = False, *, unload: Sequence[str] = ()
    ) -> None:
        """Have a service as it is configured now: it may be new, or have other replicas or adapters.

        Args:
            config: The service's.
            drain: See `Service.serve`, as for the other.
            renew: See there.
            unload: See `Kind.adapt`.

        Raises:
            ServiceFailed: The block can never hold as many replicas, or an adapter is not there; nothing has changed.
        """
        service = self._services.get(config.name)
        if service is None:
            service = self._add(self._make(msgspec.structs.replace(config, replicas=0)))
            self._start(service)
        service.adapt(config, unload)
        service.serve(config.replicas, drain, renew)

    async def stop(self) -> None:
        """Stop everything; idempotent."""
        if not self._started:
            return
        if self._looks:
            self._looks.cancel()
            await asyncio.gather(self._looks, return_exceptions=True)
        await asyncio.gather(*(service.stop() for service in self))
        self._hub.stop()
        self._started = False
        with contextlib.suppress(OSError):
            self._file.unlink(missing_ok=True)

    def _add(self, kind: Kind) -> Service:
        secret = secrets.token_urlsafe(24)
        service = Service(kind, self._context, self._leases, hub=self._hub, secret=secret, on_change=self._changed)
        self._set_behind(service)
        self._services[kind.config.name] = service
        return service

    def _set_behind(self, service: Service) -> None:
        """Have the front door's requests count; it has none for a command."""
        if service.kind.config.takes_requests:
            service.front = self._front

    def _replicas(self) -> list[Replica]:
        return [replica for service in self for replica in service.replicas]

    def _receive(self, peer: str, message: FromBackend) -> None:
        found = next(((service, one) for service in self for one in service.replicas if one.peer == peer), None)
        if found is None:
            return  # one that was given up
        service, replica = found
        match message:
            case Ready() | Failed() | Rendezvous() | Turned():
                replica.hear(message)
            case _:
                service.heard(replica, message)

    def _changed(self) -> None:
        """Let tasks and people know."""
        if not self._started:
            return
        self._front.changed()
        known: dict[str, object] = {}
        variables = _for_clients(self._front.address())
        for service in self:
            if (address := self._address(service)) is not None:
                known[service.name] = {"url": service.url, **address}
                variables = _variables(service, address) | variables
            elif error := service.error:
                known[service.name] = {"error": to_wire(error)}
            elif service.replicas or service.wanted:
                known[service.name] = {"within": service.kind.config.startup_timeout}
            if not service.replicas:
                self._forget_variables(service)
        text = json.dumps(known)
        self._context.environment.update({ENVIRONMENT_VARIABLE: text, **variables})
        self._tell_those_who_wait(text)
        self._context.events.services([service.describe() for service in self])

    def _address(self, service: Service) -> dict[str, str] | None:
        """Return what a task needs to speak to a service; to a model, by the front door, where one is."""
        address = service.address()
        if address is None or not service.kind.config.takes_requests:
            return address
        return {**address, **self._front.address()}

    def _forget_variables(self, service: Service) -> None:
        """A service that was stopped has no address."""
        prefix = f"{variable_of(service.name)}_"
        for name in [name for name in self._context.environment if name.startswith(prefix)]:
            del self._context.environment[name]

    def _tell_those_who_wait(self, text: str) -> None:
        """Write for tasks that have begun; where that fails, they learn nothing new."""
        if self._services and text != self._written:
            self._context.environment[FILE_VARIABLE] = str(self._file)
            self._written = text
            new = f"{self._file}.new"
            with contextlib.suppress(OSError):
                with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                    file.write(text)
                os.replace(new, self._file)


def _for_clients(address: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that OpenAI's clients read."""
    return {"OPENAI_BASE_URL": address["base_url"], "OPENAI_API_KEY": address["api_key"]} if address else {}


def _variables(service: Service, address: dict[str, str]) -> dict[str, str]:
    """Return the variables of a service that is ready; they stay when it is not, for a restart takes the same port."""
    prefix, parts = variable_of(service.name), urlsplit(service.url)
    own = {f"{prefix}_URL": service.url, f"{prefix}_HOST": parts.hostname or "", f"{prefix}_PORT": str(parts.port)}
    if secret := address.get("secret"):
        own[f"{prefix}_SECRET"] = secret
    return own
