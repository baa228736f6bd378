"""One replica of a service: its processes, from checks to the last restart."""

import asyncio
import glob
import math
import time
import zlib
from itertools import count
from typing import Any, Protocol

from rhapsody_parsl.annotations.resources import Resources
from rhapsody_parsl.annotations.task_spec import TaskSpec
from rhapsody_parsl.errors import MemoryExceeded, RhapsodyError, ServiceFailed
from rhapsody_parsl.hosts.ending import Cause
from rhapsody_parsl.hosts.process import Backend
from rhapsody_parsl.in_block.context import Context, Loan, Placed, Run
from rhapsody_parsl.in_block.exchange import Exchange
from rhapsody_parsl.services.gpus_free import seen_free
from rhapsody_parsl.services.process_group import ProcessGroup
from rhapsody_parsl.services.protocol import Kind
from rhapsody_parsl.services.restarts import Death, Restarts, Unexplained
from rhapsody_parsl.services.settings import Settings
from rhapsody_parsl.wire.engine_messages import Rendezvous, Sleep, Turned, Wake
from rhapsody_parsl.wire.messages import Failed, Ready, ServiceFacts, ToBackend
from rhapsody_parsl.wire.states import ServiceState

__all__ = ("Owner", "Replica")

_LOG_TAIL, _LOG_END = 32_000, 1500
_numbers = count(-1, -1)
"""Of runs that are none of the pilot's, so that the memory watch knows one start of a replica from another."""
_NICE = 5  # a third of a task's weight; less was seen to starve others


class Owner(Protocol):
    """Who a replica reports to."""

    @property
    def proven(self) -> bool:
        """Whether a replica like it was ready before: so a start that fails is no fault of the configuration."""

    def changed(self, replica: "Replica") -> None:
        """A replica's state changed."""

    def died(self, replica: "Replica", failure: ServiceFailed, cause: Cause) -> Death:
        """A replica that was ready died; it answers nothing any more."""


class Replica:
    """One copy of a service: its head process, and those on further nodes.

    Args:
        kind: What it serves.
        index: Which of the service's replicas.
        starts: How often one of this index was started before.
        context: The block.
        hub: Where its processes speak.
        secret: The service's.
        owner: Hears what happens.

    Attributes:
        index: See above.
        starts: How often it was started, by the count of those before it.
        loan: What it has borrowed; None while it waits for that.
        leaving: Whether it is to go, and is given nothing any more.
        resting: Whether its engine sleeps: others may have the cores and GPUs that it had.
        peer: Name of its head on the hub, another one with every start; "" while there is none that may be heard.
        last: The same of its last start, also when that has died.
        facts: What its head said when it was ready the last time.
        coming: Whether it starts, and is likely to be ready soon.
        worked_at: When it was last given a request, or answered one, or was ready; on the monotonic clock.
        error: Why it does not answer: for good, or until its restarts count no more.
    """

    def __init__(  # noqa: PLR0913 - one thing of each kind
        self,
        kind: Kind,
        index: int,
        context: Context,
        *,
        starts: int,
        hub: Exchange,
        secret: str,
        owner: Owner,
    ) -> None:
        self._kind, self.config = kind, kind.config
        self.name, self.index = f"{kind.config.name}-{index}", index
        self.loan: Loan | None = None
        self.leaving = self.resting = False
        self._turned: asyncio.Future[None] | None = None
        self._context, self._hub, self._secret, self._owner = context, hub, secret, owner
        self._group: ProcessGroup | None = None
        self._ready: asyncio.Future[None] | None = None
        self._leaving: asyncio.Future[Failed] | None = None
        self._run: Run | None = None
        self.starts = starts
        self.peer, self.last, self.coming = "", "", True
        self.restarts = Restarts(kind.config.restarts, kind.config.restart_window)
        self.state: ServiceState = "starting"
        self.detail, self.since, self.worked_at = "", time.time(), time.monotonic()
        self.facts = ServiceFacts(url="", model="", port=0)
        self.error: RhapsodyError | None = None

    @property
    def placed(self) -> tuple[Placed, ...]:
        """Its lease, a part for each of its nodes; () when it takes none."""
        return self.loan.placed if self.loan else ()

    @property
    def nodes(self) -> list[str]:
        """The names of its nodes; none when it takes no lease."""
        return list(dict.fromkeys(part.node.name for part in self.placed))

    @property
    def _hosts(self) -> list[str]:
        return [part.node.host for part in self.placed] or [self._context.own_host]

    def give_up(self, error: RhapsodyError) -> None:
        """Fail for good, or until it is started again."""
        self.error = error
        self._set("failed", str(error))

    def wait(self, detail: str) -> None:
        """There is no room for it yet."""
        self._set("waiting", detail)

    def leave(self) -> None:
        """It is to go when it has finished what it has begun."""
        self.leaving = True
        self._set("stopping", "")

    def rest(self, loan: Loan) -> None:
        """Its engine sleeps, and it holds no more than this."""
        self.loan, self.resting = loan, True
        self._set("asleep", "")

    def take_up(self, loan: Loan) -> None:
        """It has again what it held before its engine slept, which is to wake."""
        self.loan, self.resting, self.leaving = loan, False, False
        self._set("starting", "it wakes")

    def be_awake(self) -> None:
        """Its engine has woken."""
        self._set("ready", "")

    async def turn(self, asleep: bool) -> bool:
        """Have its engine sleep, or wake; return whether it does: else it has died, or was given up."""
        if self._group is None or self._leaving is None:
            return False
        self._turned, limit = asyncio.get_running_loop().create_future(), self.config.startup_timeout
        self.send(Sleep() if asleep else Wake())
        ends: set[asyncio.Future[Any]] = {self._group.ended, self._leaving}
        await _first({self._turned, *ends}, limit)
        if not (self._turned.done() or any(end.done() for end in ends)):
            self.lose(f"it did not {'go to sleep' if asleep else 'wake'} within startup_timeout={limit:g} s")
        return self._turned.done() and not any(end.done() for end in ends)

    async def live(self) -> None:
        """Be there until stopped, or failed for good."""
        self.error = None
        self._set("starting", "")
        try:
            await self._kind.check()
            await self._serve()
        except RhapsodyError as error:
            self.give_up(error)

    async def gpus_free(self) -> bool:
        """Wait, not without an end, until nothing is held on the whole GPUs of its lease; return whether it is so."""
        shares, memory = [part.share for part in self.placed], self._context.gpu_memory
        if self.config.gpus < 1 or not memory.held(shares):
            return True
        self._set("stopping" if self.state == "stopped" else self.state, "its GPUs are not seen free yet")
        return await seen_free(memory, shares, what=f"service {self.name}")

    async def stop(self) -> None:
        """End the processes and all below them, once `live` was cancelled; idempotent."""
        self.peer = ""
        if self._group:
            await self._group.stop()
        self._rest()
        if self.state != "failed":
            self._set("stopped", "")

    def send(self, message: ToBackend) -> None:
        """Tell its head something; nothing happens while there is none."""
        if self.peer:
            self._hub.send(self.peer, message)

    # --- the processes -------------------------------------------------------------------------------------------

    def hear(self, message: Ready | Failed | Rendezvous | Turned) -> None:
        """Its head says what becomes of it."""
        match message:
            case Rendezvous():  # where the members are to meet it
                if self._group:
                    self._group.meet(message)
            case Failed():
                _settle(self._leaving, message)
            case Turned():
                _settle(self._turned, None)
            case Ready(facts=facts):
                self.facts = facts if isinstance(facts, ServiceFacts) else self.facts
                _settle(self._ready, None)

    async def _serve(self) -> None:
        """Start the processes, and again when they end, as often as the service allows; its first must succeed."""
        while True:
            await self.gpus_free()  # whoever had them, and died, may hold their memory a moment longer
            failure = await self._run_once()
            if self.leaving or self.resting:  # what it held is lent
                self.leaving = True
                self._set("stopping", failure.args[1])
                return
            if not self._owner.proven:
                raise failure
            while wait := self._tell_what_follows(failure):
                if wait == math.inf:
                    return
                await asyncio.sleep(wait)
            await asyncio.sleep(self.restarts.pause(time.monotonic()))

    async def _run_once(self) -> ServiceFailed:
        """Run the processes to their end, and return why they ended."""
        await self._wait_for_hosts()
        self.starts += 1
        self.peer = self.last = f"{self.name}/{self.starts}"
        loop = asyncio.get_running_loop()
        self._ready, self._leaving = loop.create_future(), loop.create_future()
        self._run = self._new_run()
        for host in set(self._hosts) if self.config.memory else ():
            self._context.events.at_work(self._run, host, {}, self._exceeded)
        self._group = group = ProcessGroup(self._backend(0), self._members)
        await _first({self._ready, group.ended, self._leaving}, self.config.startup_timeout)
        if self._was_ready and not group.ended.done() and not self._leaving.done():
            self._set("ready", "")
            await _first({group.ended, self._leaving})
        self._hub.drain()  # take what it said before it died
        failure = self._end(group)
        await group.stop()
        self._rest()
        return failure

    def _rest(self) -> None:
        """Nothing works any more for what the memory watch knows of."""
        if self._run and self.config.memory:
            self._context.events.at_rest(self._run.id)
        self._run = None

    def _new_run(self) -> Run:
        """Return what one start of the processes is to the memory watch."""
        spec = TaskSpec(name=self.name, resources=Resources(memory=self.config.memory))
        return Run(next(_numbers), spec, self.placed)

    def _exceeded(self, error: MemoryExceeded) -> None:
        """Its processes on a host hold too much: they are stopped, and will be killed."""
        limit, peak, host = error.args
        reason = (
            f"it held {peak:.3g} GB on {host}, more than its memory={limit:g} (GB), and was killed. "
            f"Give {type(self.config).__name__}(memory=...) more, or set "
            "RhapsodyExecutor(enforce_memory=False) to count memory only"
        )
        self.lose(reason)

    def lose(self, reason: str) -> None:
        """It is of no use any more: have its processes stopped, and started again as often as the service allows."""
        _settle(self._leaving, Failed("ServiceFailed", [self.config.name, reason]))

    @property
    def _was_ready(self) -> bool:
        """Whether the last start led to a first token."""
        return self._ready is not None and self._ready.done()

    def _end(self, group: ProcessGroup) -> ServiceFailed:
        """It answers no more: what it held is asked elsewhere at once, while the rest of it is still being ended."""
        self.peer = ""
        told = self._leaving.result() if self._leaving and self._leaving.done() else None
        failure = self._failure(group, told)
        if self._was_ready:
            cause: Cause = group.blamed.cause if told is None else "killed" if told.killed else "own"
            self.restarts.died(self._owner.died(self, failure, cause))
            if not self.leaving:
                self._tell_what_follows(failure)
        else:
            self.restarts.died(Unexplained(time.monotonic()))
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
            idle = " and answered nothing in between" if self.config.takes_requests else ""
            why = f"{reason}; it died {max(1, counted)} times{idle} ({limit}); {again}"
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

    def _failure(self, group: ProcessGroup, told: Failed | None) -> ServiceFailed:
        """Return the failure: what the process itself said of it, or else the end of its log."""
        process, awaited = group.blamed, f" ({self.config.awaited})" if self.config.awaited else ""
        reason = f"no answer within startup_timeout={self.config.startup_timeout:g} s{awaited}"
        said = str(told.facts[1]) if told is not None else ""
        if said or group.ended.done():
            reason = said or group.ended.result()
        log = process.log_tail(_LOG_TAIL)
        shown = self._kind.complaint(log, said, self._was_ready)
        return ServiceFailed(
            self.config.name, f"{reason} (the whole log is {process.log})", log[-_LOG_END:] if shown is None else shown
        )

    def _members(self, place: Rendezvous) -> dict[str, Backend]:
        return {part.node.name: self._backend(rank, place) for rank, part in enumerate(self.placed[1:], 1)}

    def _backend(self, rank: int, place: Rendezvous | None = None) -> Backend:
        """Return the process of one of the replica's nodes, the head's when `rank` is 0."""
        part, host = self.placed[rank] if self.placed else None, self._hosts[rank]
        which = f".node{rank}" if rank else ""
        unique = f"{self.name}.{self.starts}{which}"
        folder = self._context.folder / f"{zlib.crc32(unique.encode()):x}"  # sockets in it have long names
        program = self._kind.command(self._settings(host, rank, place), part, folder)
        return Backend(
            [*(self._context.noting(self._run) if self._run else ()), *program.argv],
            self._context.logs / f"{self.name}{which}.log",
            env=program.env,
            cores=part.real_cores if part else (),
            nice=0 if self.config.cores or self.config.gpus else _NICE,  # else it computes on the tasks' cores
            grace=program.grace,
            sweep=(glob.escape(str(folder)),),
            host=self._context.host(host),
            files=program.files,
        )

    def _settings(self, host: str, rank: int, place: Rendezvous | None) -> Settings:
        alone = not self._context.hosts
        return Settings(
            name=self.config.name,
            endpoint=self._hub.endpoint,
            peer=f"{self.peer}/{rank}" if rank else self.peer,
            host="127.0.0.1" if alone else "0.0.0.0",  # noqa: S104 - other nodes' tasks use it, and need the secret
            public_host="127.0.0.1" if alone else self._context.address(host),
            port=self.facts.port,
            secret="" if rank else self._secret,
            hosts=tuple(map(self._context.address, self._hosts)),
            rank=rank,
            rendezvous=place,
        )

    def _set(self, state: ServiceState, detail: str) -> None:
        if state != self.state:
            self.since, self.worked_at = time.time(), time.monotonic()
        self.state, self.detail = state, detail
        self.coming = state == "starting"
        self._owner.changed(self)


def _settle(future: "asyncio.Future[Any] | None", result: Any) -> None:
    if future and not future.done():
        future.set_result(result)


async def _first(futures: "set[asyncio.Future[Any]]", timeout: float | None = None) -> None:
    """Wait until one of these is done, or the time is over."""
    await asyncio.wait(futures, timeout=timeout, return_when="FIRST_COMPLETED")
