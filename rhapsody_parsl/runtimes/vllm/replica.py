"""One replica of a service: its processes, from checks to the last restart, and the requests it holds."""

import asyncio
import glob
import re
import time
import zlib
from collections.abc import Iterable
from typing import Any, Protocol

from rhapsody_parsl.errors import RhapsodyError, ServiceFailed, from_wire
from rhapsody_parsl.runtimes.exchange import Exchange
from rhapsody_parsl.runtimes.process import Backend
from rhapsody_parsl.runtimes.protocol import Context, Placed
from rhapsody_parsl.runtimes.vllm import checks
from rhapsody_parsl.runtimes.vllm.environment import process_environment
from rhapsody_parsl.runtimes.vllm.request import Request
from rhapsody_parsl.runtimes.vllm.settings import Settings
from rhapsody_parsl.runtimes.vllm.team import Team
from rhapsody_parsl.spec.config import VLLMService
from rhapsody_parsl.wire.messages import Abort, Ask, Failed, Ready, Rendezvous

__all__ = ("Owner", "Replica", "root_cause")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
_LOG_TAIL, _LAST_WORDS = 32_000, 1500
_NICE = 5  # a third of a task's weight; less was seen to starve others
_COMPLAINT = re.compile(r"^(?:\(\w+ pid=\d+\) ERROR .*?\] )?((?:\w+\.)*\w*(?:Error|Exception): .+)$", re.MULTILINE)


class Owner(Protocol):
    """Who a replica reports to."""

    def changed(self) -> None:
        """A replica's state changed."""

    def returned(self, requests: list[Request], reason: RhapsodyError) -> None:
        """A replica died under these."""


class Replica:
    """A process that answers requests, and those of its engine on further nodes.

    Args:
        service: What it serves.
        index: Which of the service's replicas.
        placed: Its lease, a part for each of its nodes; () when it takes none.
        context: The block.
        api_key: For its HTTP API.
        owner: Hears what happens.
    """

    def __init__(
        self, service: VLLMService, index: int, placed: tuple[Placed, ...], context: Context, api_key: str, owner: Owner
    ) -> None:
        self.service, self.name, self.placed = service, f"{service.name}-{index}", placed
        self._context, self._api_key, self._owner = context, api_key, owner
        self._hub: Exchange | None = None
        self._team: Team | None = None
        self._ready: asyncio.Future[None] | None = None
        self._problem: RhapsodyError | None = None
        self._port = 0
        self._starts = 0
        self.state, self.detail, self.since = "starting", "", time.time()
        self.url = self.model = ""
        self.error: RhapsodyError | None = None
        self.inflight: dict[int, Request] = {}

    @property
    def peer(self) -> str:
        """Name of the process on the hub, another one with every start."""
        return f"{self.name}/{self._starts}"

    @property
    def _hosts(self) -> list[str]:
        return [part.node.host for part in self.placed] or [self._context.own_host]

    def give_up(self, error: RhapsodyError) -> None:
        """Fail for good."""
        self.error = error
        self._set("failed", str(error))
        self._hand_back(error)

    async def live(self, hub: Exchange) -> None:
        """Be there until stopped, or failed for good."""
        self._hub = hub
        try:
            python = checks.interpreter(self.service, self._context.python)
            await checks.check(self.service, self._context.python)
            await self._serve(python)
        except RhapsodyError as error:
            self.give_up(error)

    async def stop(self) -> None:
        """End the processes and all below them, once `live` was cancelled; idempotent."""
        if self._team:
            await self._team.stop()
        if self.state != "failed":
            self._set("stopped", "")

    # --- requests ------------------------------------------------------------------------------------------------

    def ask(self, request: Request) -> None:
        """Put a request to the engine."""
        request.asks += 1
        request.replica = self.name
        self.inflight[request.task] = request
        if self._hub:
            self._hub.send(self.peer, Ask(request.task, request.body, request.full))

    def abort(self, task: int) -> None:
        """The answer is not wanted any more."""
        if self.inflight.pop(task, None) is not None and self._hub:
            self._hub.send(self.peer, Abort([task]))

    def answered(self, tasks: Iterable[int]) -> None:
        """The engine is done with these."""
        for task in tasks:
            self.inflight.pop(task, None)

    # --- the processes -------------------------------------------------------------------------------------------

    def hear(self, message: Ready | Failed | Rendezvous) -> None:
        """The head is up, says why it leaves, or says where the members are to meet it."""
        if isinstance(message, Rendezvous):
            if self._team:
                self._team.meet(message)
            return
        if isinstance(message, Failed):
            self._problem = from_wire(message.error, message.facts)
            return
        self.url, self.model = message.facts["url"], message.facts["model"]
        self._port = message.facts["port"]
        if self._ready and not self._ready.done():
            self._ready.set_result(None)

    async def _serve(self, python: str) -> None:
        """Start the processes, and again when they end, as often as the service allows; the first must succeed."""
        pause, restarts = _FIRST_PAUSE, 0
        while True:
            reason, was_ready = await self._run_once(python)
            if (not was_ready and not restarts) or restarts >= self.service.restarts:
                raise self._failure(reason, restarts)
            restarts += 1
            failure = self._failure(reason)
            self._set("starting", f"restart {restarts} of {self.service.restarts}: {failure.args[1]}")
            self._hand_back(failure)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _run_once(self, python: str) -> tuple[str, bool]:
        """Run the processes to their end; return why they ended, and whether the replica had been ready."""
        await self._wait_for_hosts()
        self._starts += 1
        self._problem = None
        self._ready = asyncio.get_running_loop().create_future()
        head = self._backend(python, 0)
        self._team = team = Team(head, lambda place: self._members(python, place))
        ended = asyncio.ensure_future(team.wait())
        try:
            waiting: set[asyncio.Future[Any]] = {ended, self._ready}
            await asyncio.wait(waiting, timeout=self.service.startup_timeout, return_when="FIRST_COMPLETED")
            if not ended.done() and not self._ready.done():
                await team.stop()
                return f"no answer within startup_timeout={self.service.startup_timeout:g} s", False
            was_ready = self._ready.done()
            if was_ready:
                self._set("ready", "")
            reason = await ended
            if self._hub:
                self._hub.drain()  # take what it said before it died
            return reason, was_ready
        finally:
            ended.cancel()

    async def _wait_for_hosts(self) -> None:
        """Wait until all its hosts can be used at once."""
        hosts = [host for name in self._hosts if (host := self._context.host(name))]
        while down := [host for host in hosts if not host.up]:
            await down[0].wait_up()

    def _hand_back(self, failure: RhapsodyError) -> None:
        """What it held is to be asked again; only once its state says that it cannot be asked itself."""
        requests, self.inflight = list(self.inflight.values()), {}
        self._owner.returned(requests, failure)

    def _failure(self, reason: str, restarts: int = 0) -> ServiceFailed:
        """Return the failure: what the process itself said of it, or else its log's last words."""
        process = self._team.blamed if self._team else None
        words = process.last_words(_LOG_TAIL) if process else ""
        if isinstance(self._problem, ServiceFailed):
            reason, words = self._problem.args[1], root_cause(words) if "root cause" in self._problem.args[1] else ""
        if restarts:
            reason = f"{reason}; it had been restarted {restarts} times"
        if process:
            reason = f"{reason} (the whole log is {process.log})"
        return ServiceFailed(self.service.name, reason, root_cause(words) or words[-_LAST_WORDS:])

    def _members(self, python: str, place: Rendezvous) -> dict[str, Backend]:
        further = enumerate(self.placed[1:], 1)
        return {part.node.name: self._backend(python, rank, place) for rank, part in further}

    def _backend(self, python: str, rank: int, place: Rendezvous | None = None) -> Backend:
        """Return the process of one of the replica's nodes, the head's when `rank` is 0."""
        part, host = self.placed[rank] if self.placed else None, self._hosts[rank]
        which = f".node{rank}" if rank else ""
        unique = f"{self.name}.{self._starts}{which}"
        folder = self._context.folder / f"{zlib.crc32(unique.encode()):x}"  # vLLM's sockets in it have long names
        module = "member" if rank else "backend" if self.service.server == "hosted" else "command"
        path, key = str(folder / "settings.json"), "" if rank else self._api_key
        return Backend(
            [python, "-m", f"rhapsody_parsl.runtimes.vllm.{module}", path],
            self._context.logs / f"{self.name}{which}.log",
            env=process_environment(self.service, part, self._context, folder, key),
            cores=part.real_cores if part else (),
            nice=0 if self.service.cores or self.service.gpus else _NICE,  # else it computes on the tasks' cores
            sweep=(glob.escape(str(folder)),),
            host=self._context.host(host),
            files={path: self._settings(host, rank, key, place).text()},
        )

    def _settings(self, host: str, rank: int, key: str, place: Rendezvous | None) -> Settings:
        alone = not self._context.hosts
        endpoint, *keys = self._hub.words([host]) if self._hub else [""]
        return Settings(
            endpoint=endpoint,
            keys=keys[0] if keys else "",
            peer=f"{self.peer}/{rank}" if rank else self.peer,
            service=self.service,
            model=checks.resolve_model(self.service),
            host="127.0.0.1" if alone else "0.0.0.0",  # noqa: S104 - other nodes' tasks use it, and need the key
            public_host="127.0.0.1" if alone else host,
            port=self._port,
            api_key=key,
            hosts=tuple(self._hosts),
            rank=rank,
            rendezvous=place,
        )

    def _set(self, state: str, detail: str) -> None:
        if state != self.state:
            self.since = time.time()
        self.state, self.detail = state, detail
        self._owner.changed()


def root_cause(log: str) -> str:
    """Return the last exception that a log shows and that tells more than where to look for another, or ""."""
    found = [text for text in _COMPLAINT.findall(log) if "root cause" not in text]
    return str(found[-1]) if found else ""
