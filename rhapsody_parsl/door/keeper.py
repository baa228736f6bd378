"""The pilot's half of the front door: its process, what that is told, and what it says of its requests."""

import asyncio
import glob
import logging
import secrets
import socket
import time
from collections.abc import Callable, Collection, Mapping

from rhapsody_parsl.door.settings import PULSE, DoorSettings
from rhapsody_parsl.hosts.background import spawn
from rhapsody_parsl.hosts.process import Backend
from rhapsody_parsl.in_block.context import Context
from rhapsody_parsl.service_config import VLLMService
from rhapsody_parsl.services.conversation import bind
from rhapsody_parsl.services.service import Service
from rhapsody_parsl.services.services import Services
from rhapsody_parsl.wire.channel import Hub
from rhapsody_parsl.wire.door import (
    FRONT_DOOR,
    DoorKeys,
    DoorLoads,
    DoorRequests,
    DoorRoutes,
    DoorVisits,
    ModelRoutes,
    Route,
)
from rhapsody_parsl.wire.messages import FromBackend, Ready

__all__ = ("Door",)

log = logging.getLogger(__name__)

_SHORT = 10.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 10.0
_MOST_SILENT, _MOST_SILENT_AT_FIRST = 10, 60
"""Looks, one per pulse, at which a process that is at work was silent, or one that starts."""
_GRACE = 1.0
"""Seconds between SIGTERM and SIGKILL; one that is frozen hears only the second."""


class Door:
    """The front door of a block; it opens with the first model, and stays at its address.

    It takes no core of the ledger's: it runs beside the tasks, as the pilot does. When its process dies it is started
    again, always. When it gives no sign of life for ten seconds, it is killed first. Closing: (1) its process, (2) the
    hub, (3) the port.

    Args:
        context: The block.
        services: The block's.
        key: That every request shows.
        wait: Seconds that a request waits for a replica.
        on_idle: Called when the block is to leave, and no request is here any more.
        record: Is told what becomes of requests; None where nobody wants to know.
    """

    def __init__(
        self,
        context: Context,
        services: Services,
        *,
        key: str,
        wait: float,
        on_idle: Callable[[], None],
        record: Callable[[DoorRequests], None] | None = None,
    ) -> None:
        self._context, self._services, self._on_idle, self._record = context, services, on_idle, record
        self._key, self._wait = key or secrets.token_urlsafe(24), wait
        self._host = self._public_host = ""
        self._kept: socket.socket | None = None
        self._hub: Hub | None = None
        self._life: asyncio.Task[None] | None = None
        self._process: Backend | None = None
        self._peer = ""
        self._heard = self._closing = False
        self._version = self._silent = 0
        self._visits = DoorVisits(0, {}, {})
        self._keys = DoorKeys([])
        self._told: dict[str, int] = {}

    # --- for the services (`services.front.Front`) ---------------------------------------------------------------

    def changed(self) -> None:
        """The services are otherwise than before: open with the first model, and tell the door."""
        if self._kept is None and not self._models():
            return
        if self._kept is None:
            self._open()
        self._tell()

    def look(self) -> None:
        """Tell the door what of its replicas' places apps have."""
        if self._hub and self._heard and (loads := self._loads()) != self._told:
            self._told = loads
            self._hub.send(self._peer, DoorLoads(loads))

    def _loads(self) -> dict[str, int]:
        """Return how many requests of apps each replica has, where it has some."""
        models = [(one.listener, one.replicas) for one in self._models()]
        held = {replica.peer: who.held(replica) for who, replicas in models if who for replica in replicas}
        return {peer: count for peer, count in held.items() if peer and count}

    def address(self) -> Mapping[str, str]:
        """Return the fields of a service by which its clients come here, {} while it is not open."""
        if self._kept is None:
            return {}
        return {"base_url": f"http://{self._public_host}:{self.port}/v1", "api_key": self._key}

    def pending(self, service: str) -> int:
        """Return how many requests for a service are here."""
        peers = [replica.peer for one in self._models() if one.name == service for replica in one.replicas]
        return self._visits.waiting.get(service, 0) + sum(self._visits.held.get(peer, 0) for peer in peers)

    def held(self, replica: str) -> int:
        """Return how many requests a replica has of us; until we know that it gets no more, one at least."""
        held = self._visits.held.get(replica, 0)
        return held if self._visits.version == self._version or not self._heard else max(1, held)

    @property
    def deaths(self) -> Mapping[str, int]:
        """Replicas that died under our requests, see `DoorVisits`."""
        return self._visits.deaths

    # --- for the pilot -------------------------------------------------------------------------------------------

    @property
    def port(self) -> int:
        """Where it listens on this host, 0 while it is not open."""
        return int(self._kept.getsockname()[1]) if self._kept else 0

    @property
    def busy(self) -> bool:
        """Whether requests are here."""
        unsure = self._closing and self._heard and self._visits.version < self._version
        return bool(unsure or self._visits.held or self._visits.waiting)

    def take_keys(self, keys: DoorKeys) -> None:
        """These keys are taken from now on, beside the block's own."""
        self._keys = keys
        if self._hub and self._heard:
            self._hub.send(self._peer, keys)

    def drain(self) -> None:
        """The block is about to leave: clients are to come by another connection, which leads elsewhere."""
        if not self._closing:
            self._closing = True
            self._tell()

    async def stop(self) -> None:
        """Close; idempotent."""
        if self._life:
            self._life.cancel()
            await asyncio.gather(self._life, return_exceptions=True)
        if self._process:
            await self._process.stop()
        if self._hub:
            self._hub.drain()  # what the process said at its end
            self._hub.close()
        if self._kept:
            self._kept.close()
        self._life = self._process = self._hub = self._kept = None

    # --- the process ---------------------------------------------------------------------------------------------

    def _open(self) -> None:
        alone = not self._context.hosts
        self._host = "127.0.0.1" if alone else "0.0.0.0"  # noqa: S104 - other nodes' tasks use it, and need the key
        self._public_host = "127.0.0.1" if alone else self._context.address(self._context.own_host)
        self._kept = bind(self._host, 0)  # bound but not listening: nobody else gets the port between two processes
        self._hub = Hub(f"ipc://{self._context.folder}/door", self._receive)
        self._life = spawn(self._live(), FRONT_DOOR)

    async def _live(self) -> None:
        starts, pause = 0, _FIRST_PAUSE
        while True:
            starts += 1
            began = time.monotonic()
            reason = await self._run(f"door/{starts}")
            pause = _FIRST_PAUSE if time.monotonic() - began > _SHORT else min(_LONGEST_PAUSE, 2 * pause)
            log.warning("the front door is started again in %.1f s: %s", pause, reason)
            await asyncio.sleep(pause)

    async def _run(self, peer: str) -> str:
        """Run the process to its end; return how it came."""
        self._peer, folder = peer, self._context.folder / peer.replace("/", "-")
        path = str(folder / "settings.json")
        self._process = Backend(
            [self._context.python, "-m", "rhapsody_parsl.door.process", path],
            self._context.logs / "door.log",
            files={path: self._settings().text()},
            grace=_GRACE,
            sweep=(glob.escape(str(folder)),),
        )
        watching = spawn(self._watch(self._process), "watch the front door")
        try:
            await self._process.start()
            reason = await self._process.wait()
        finally:
            watching.cancel()
        self._forget(reason)
        return reason

    def _forget(self, reason: str) -> None:
        """The process has ended, and nobody has told it to."""
        if self._hub:
            self._hub.drain()  # what it said before comes first
        if self._record:
            self._record(DoorRequests(gone=f"the front door's process is gone: {reason}"))
        self._peer, self._heard, self._told = "", False, {}
        self._visits = DoorVisits(0, {}, {})
        self._note_answers(())  # nothing of it is with a replica any more
        self._tell_services()

    async def _watch(self, process: Backend) -> None:
        """Give the process up when it says nothing any more: its clients would wait for it without an end.

        Looks are counted and not seconds: while this process itself is stopped, it hears nothing.
        """
        self._silent = 0
        while self._silent < (_MOST_SILENT if self._heard else _MOST_SILENT_AT_FIRST):
            await asyncio.sleep(PULSE)
            self._silent += 1
        process.give_up(f"its process showed no sign of life within {self._silent * PULSE:g} s")

    def _settings(self) -> DoorSettings:
        return DoorSettings(
            name=FRONT_DOOR,
            endpoint=f"ipc://{self._context.folder}/door",
            peer=self._peer,
            host=self._host,
            public_host=self._public_host,
            port=self.port,
            secret=self._key,
            wait=self._wait,
            record=self._record is not None,
        )

    def _receive(self, peer: str, message: FromBackend) -> None:
        if peer != self._peer:
            return
        self._silent = 0
        match message:
            case Ready():
                log.info("the front door is open: %s", self.address()["base_url"])
                self._heard = True
                if self._keys.keys:
                    self.take_keys(self._keys)
                self._tell()
            case DoorVisits():
                self._visits = message
                self._note_answers(message.answered)
                self._tell_services()
            case DoorRequests() if self._record:
                self._record(message)
            case _:
                log.warning("the front door says %s, which it never does", type(message).__name__)

    def _note_answers(self, names: Collection[str]) -> None:
        """Replicas work: their deaths before count no more. One may have died since, which is told later than here."""
        for service in self._models():
            working = [replica for replica in service.replicas if replica.name in names]
            for replica in working:
                replica.restarts.answered()
            if service.listener:
                service.listener.told(bool(working))

    def _tell_services(self) -> None:
        for service in self._models():
            if service.parting:
                service.relieved()
        if self._closing and not self.busy:
            self._on_idle()

    # --- what it is told -----------------------------------------------------------------------------------------

    def _models(self) -> list[Service]:
        return [service for service in self._services if service.kind.config.takes_requests]

    def _tell(self) -> None:
        self._version += 1
        if self._hub and self._heard:
            routes = [_routes_of(service, self._context.head) for service in self._models()]
            self._hub.send(self._peer, DoorRoutes(self._version, routes, self._closing))


def _routes_of(service: Service, head: str) -> ModelRoutes:
    """Return where a model answers; `head` is the node of replicas that lease nothing."""
    routes = [
        Route(replica.peer, replica.facts.url, ",".join(replica.nodes) or head, service.keeps(replica))
        for replica in service.replicas
        if replica.state == "ready" and not replica.leaving
    ]
    config = service.kind.config
    if not isinstance(config, VLLMService):
        raise TypeError(f"service '{service.name}' is no model")
    by_request = bool(config.engine_args.get("enable_lora")) or (
        bool(config.adapters) and isinstance(config.adapters, str)
    )
    return ModelRoutes(
        service.name,
        service.secret,
        routes,
        str(service.refusal or ""),
        by_request,
        config.requests_in_flight,
        config.requests_waiting,
    )
