"""One replica of a service: its processes, from checks to the last restart."""

import asyncio
import glob
import math
import re
import time
import zlib
from collections.abc import Iterable
from itertools import count
from typing import Any, Protocol

from rhapsody_parsl.annotations.resources import Resources
from rhapsody_parsl.annotations.task_spec import TaskSpec
from rhapsody_parsl.config import VLLMService
from rhapsody_parsl.errors import MemoryExceeded, RhapsodyError, ServiceFailed
from rhapsody_parsl.hosts.ending import Cause
from rhapsody_parsl.hosts.process import Backend
from rhapsody_parsl.runtimes.protocol import Context, Placed, Run
from rhapsody_parsl.runtimes.vllm import checks
from rhapsody_parsl.runtimes.vllm.deaths import Death
from rhapsody_parsl.runtimes.vllm.environment import process_environment
from rhapsody_parsl.runtimes.vllm.request import Request
from rhapsody_parsl.runtimes.vllm.restarts import Restarts
from rhapsody_parsl.runtimes.vllm.settings import Settings
from rhapsody_parsl.runtimes.vllm.team import Team
from rhapsody_parsl.runtimes.workers.exchange import Exchange
from rhapsody_parsl.wire.messages import Abort, Ask, Failed, Ready, Rendezvous, ServiceFacts
from rhapsody_parsl.wire.states import ServiceState

__all__ = ("Owner", "Replica", "root_cause")

_LOG_TAIL, _LOG_END = 32_000, 1500
_numbers = count(-1, -1)
"""Of runs that are none of the pilot's, so that the memory watch knows one start of a replica from another."""
_NICE = 5  # a third of a task's weight; less was seen to starve others
_COMPLAINT = re.compile(r"^(?:\(\w+ pid=\d+\) ERROR .*?\] )?((?:\w+\.)*\w*(?:Error|Exception): .+)$", re.MULTILINE)


class Owner(Protocol):
    """Who a replica reports to."""

    def changed(self, replica: "Replica") -> None:
        """A replica's state changed."""

    def died(self, replica: "Replica", failure: ServiceFailed, cause: Cause) -> Death:
        """A replica's engine died; it answers nothing any more."""


class Replica:
    """A process that answers requests, and those of its engine on further nodes.

    Args:
        service: What it serves.
        index: Which of the service's replicas.
        placed: Its lease, a part for each of its nodes; () when it takes none.
        context: The block.
        api_key: For its HTTP API.
        owner: Hears what happens.

    Attributes:
        peer: Name of its head on the hub, another one with every start; "" while there is none that may be heard.
        coming: Whether it starts, and is likely to be ready soon.
        error: Why it does not answer: for good, or until its restarts count no more.
    """

    def __init__(
        self, service: VLLMService, index: int, placed: tuple[Placed, ...], context: Context, api_key: str, owner: Owner
    ) -> None:
        self.service, self.name, self.placed = service, f"{service.name}-{index}", placed
        self._context, self._api_key, self._owner = context, api_key, owner
        self._hub: Exchange | None = None
        self._team: Team | None = None
        self._ready: asyncio.Future[None] | None = None
        self._leaving: asyncio.Future[Failed] | None = None
        self._run = self._new_run()
        self._port = 0
        self._starts = 0
        self.peer, self.coming = "", True
        self.restarts = Restarts(service.restarts, service.restart_window)
        self.state: ServiceState = "starting"
        self.detail, self.since = "", time.time()
        self.url = self.model = ""
        self.error: RhapsodyError | None = None

    @property
    def _hosts(self) -> list[str]:
        return [part.node.host for part in self.placed] or [self._context.own_host]

    def give_up(self, error: RhapsodyError) -> None:
        """Fail for good, or until it is started again."""
        self.error = error
        self._set("failed", str(error))

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

    def ask(self, requests: Iterable[Request], apart: bool = False) -> None:
        """Put requests to the engine; `apart` keeps them out of lists."""
        if self._hub:
            for request in requests:
                self._hub.send(self.peer, Ask(request.task, request.body, request.full, apart))

    def abort(self, task: int) -> None:
        """The answer is not wanted any more."""
        if self._hub:
            self._hub.send(self.peer, Abort([task]))

    # --- the processes -------------------------------------------------------------------------------------------

    def hear(self, message: Ready | Failed | Rendezvous) -> None:
        """The head is up, says why it leaves, or says where the members are to meet it."""
        if isinstance(message, Rendezvous):
            if self._team:
                self._team.meet(message)
            return
        if isinstance(message, Failed):
            if self._leaving and not self._leaving.done():
                self._leaving.set_result(message)
            return
        if isinstance(facts := message.facts, ServiceFacts):
            self.url, self.model, self._port = facts.url, facts.model, facts.port
        if self._ready and not self._ready.done():
            self._ready.set_result(None)

    async def _serve(self, python: str) -> None:
        """Start the processes, and again when they end, as often as the service allows; the first must succeed."""
        been_ready = False
        while True:
            failure = await self._run_once(python)
            been_ready |= self._was_ready
            if not been_ready:
                raise failure
            while wait := self._tell_what_follows(failure):
                if wait == math.inf:
                    return
                await asyncio.sleep(wait)
            await asyncio.sleep(self.restarts.pause(time.monotonic()))

    async def _run_once(self, python: str) -> ServiceFailed:
        """Run the processes to their end, and return why they ended."""
        await self._wait_for_hosts()
        self._starts += 1
        self.peer = f"{self.name}/{self._starts}"
        loop = asyncio.get_running_loop()
        self._ready, self._leaving = loop.create_future(), loop.create_future()
        self._run = self._new_run()
        for host in set(self._hosts) if self.service.memory else ():
            self._context.events.at_work(self._run, host, {}, self._exceeded)
        head = self._backend(python, 0)
        self._team = team = Team(head, lambda place: self._members(python, place))
        await _first({self._ready, team.ended, self._leaving}, self.service.startup_timeout)
        if self._was_ready and not team.ended.done() and not self._leaving.done():
            self._set("ready", "")
            await _first({team.ended, self._leaving})
        if self._hub:
            self._hub.drain()  # take what it said before it died
        failure = self._end(team)
        await team.stop()
        if self.service.memory:
            self._context.events.at_rest(self._run.id)
        return failure

    def _new_run(self) -> Run:
        """Return what one start of the processes is to the memory watch."""
        spec = TaskSpec(name=self.name, resources=Resources(memory=self.service.memory))
        return Run(next(_numbers), spec, self.placed)

    def _exceeded(self, error: MemoryExceeded) -> None:
        """Its processes on a host hold too much: they are stopped, and will be killed."""
        limit, peak, host = error.args
        reason = (
            f"it held {peak:.3g} GB on {host}, more than its memory={limit:g} (GB), and was killed. Give "
            "VLLMService(memory=...) more, or set RhapsodyExecutor(enforce_memory=False) to count memory only"
        )
        if self._leaving and not self._leaving.done():
            self._leaving.set_result(Failed("MemoryExceeded", [self.service.name, reason]))

    @property
    def _was_ready(self) -> bool:
        """Whether the last start led to a first token."""
        return self._ready is not None and self._ready.done()

    def _end(self, team: Team) -> ServiceFailed:
        """It answers no more: what it held is asked elsewhere at once, while the rest of it is still being ended."""
        self.peer = ""
        told = self._leaving.result() if self._leaving and self._leaving.done() else None
        failure = self._failure(team, told)
        if self._was_ready:
            cause: Cause = team.blamed.cause if told is None else "killed" if told.killed else "own"
            self.restarts.died(self._owner.died(self, failure, cause))
            self._tell_what_follows(failure)
        else:
            self.restarts.died(Death(time.monotonic()))
        return failure

    def _tell_what_follows(self, failure: ServiceFailed) -> float:
        """Say that it is started again, or fail while it may not be; return for how many seconds."""
        now, most = time.monotonic(), self.restarts.most
        name, reason, tail = failure.args
        counted = self.restarts.counted(now)
        wait = self.restarts.wait(now)
        if wait:
            again = "it is not started again" if wait == math.inf else f"it is started again in {wait:.0f} s"
            limit = f"restarts={most}, restart_window={self.restarts.window:g} s"
            why = f"{reason}; it died {max(1, counted)} times and answered nothing in between ({limit}); {again}"
            self.give_up(ServiceFailed(name, why, tail))
        else:
            self.error = None
            self._set("starting", f"restart {counted} of {most}: {reason}" if counted else f"restart: {reason}")
        return wait

    async def _wait_for_hosts(self) -> None:
        """Wait until all its hosts can be used at once."""
        hosts = [host for name in self._hosts if (host := self._context.host(name))]
        while down := [host for host in hosts if not host.up]:
            if self.coming:
                self.coming = False
                self._owner.changed(self)
            await down[0].wait_up()
        self.coming = True

    def _failure(self, team: Team, told: Failed | None) -> ServiceFailed:
        """Return the failure: what the process itself said of it, or else the end of its log."""
        process, reason = team.blamed, f"no answer within startup_timeout={self.service.startup_timeout:g} s"
        tail = process.log_tail(_LOG_TAIL)
        if told is not None:
            reason = str(told.facts[1])
            if not self._was_ready:  # it has looked itself what is wrong
                tail = root_cause(tail) if "root cause" in reason else ""
        elif team.ended.done():
            reason = team.ended.result()
        tail = root_cause(tail) or tail[-_LOG_END:]
        return ServiceFailed(self.service.name, f"{reason} (the whole log is {process.log})", tail)

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
            [*self._context.noting(self._run), python, "-m", f"rhapsody_parsl.runtimes.vllm.{module}", path],
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
        endpoint, *keys = self._hub.arguments([host]) if self._hub else [""]
        return Settings(
            endpoint=endpoint,
            keys=keys[0] if keys else "",
            peer=f"{self.peer}/{rank}" if rank else self.peer,
            service=self.service,
            model=checks.resolve_model(self.service),
            host="127.0.0.1" if alone else "0.0.0.0",  # noqa: S104 - other nodes' tasks use it, and need the key
            public_host="127.0.0.1" if alone else self._context.address(host),
            port=self._port,
            api_key=key,
            hosts=tuple(map(self._context.address, self._hosts)),
            rank=rank,
            rendezvous=place,
        )

    def _set(self, state: ServiceState, detail: str) -> None:
        if state != self.state:
            self.since = time.time()
        self.state, self.detail = state, detail
        self.coming = state == "starting"
        self._owner.changed(self)


async def _first(futures: "set[asyncio.Future[Any]]", timeout: float | None = None) -> None:
    """Wait until one of these is done, or the time is over."""
    await asyncio.wait(futures, timeout=timeout, return_when="FIRST_COMPLETED")


def root_cause(log: str) -> str:
    """Return the last exception that a log shows and that tells more than where to look for another, or ""."""
    found = [text for text in _COMPLAINT.findall(log) if "root cause" not in text]
    return str(found[-1]) if found else ""
