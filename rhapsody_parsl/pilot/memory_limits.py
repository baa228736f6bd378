"""Keeps runs to the memory they lease: a watch on each host that has such a run, and what it is told."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Literal

import msgspec

from rhapsody_parsl.agents.host import Host
from rhapsody_parsl.errors import MemoryExceeded
from rhapsody_parsl.hosts.background import spawn
from rhapsody_parsl.hosts.probe import GB
from rhapsody_parsl.hosts.process import Backend
from rhapsody_parsl.in_block.exchange import Exchange
from rhapsody_parsl.runtimes.protocol import Context, Run
from rhapsody_parsl.wire.memory_messages import Exceeded, Limit, Release
from rhapsody_parsl.wire.messages import FromBackend, Quit, Ready

__all__ = ("MemoryLimits",)

log = logging.getLogger(__name__)

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0
"""Seconds before a watch that ended is started again: twice as long each time, until one has lived for a while."""
_A_WHILE = 10.0


class _Kept:
    """A run that is kept to its memory: who is told when it has exceeded that, and the watches of its hosts."""

    def __init__(self, run: Run, on_exceeded: Callable[[MemoryExceeded], None]) -> None:
        self.run, self.on_exceeded = run, on_exceeded
        self.watches: list[_Watch] = []


class _Watch:
    """The watch of one host as we see it; its limits are sent once it is up, and again when it is a new one."""

    def __init__(self, host: str) -> None:
        self.host, self.name = host, f"memory-watch-{host}"
        self.up = False
        self.limits: dict[int, Limit] = {}
        self.life: asyncio.Task[None] | None = None


class MemoryLimits:
    """The limits of a block's runs.

    Args:
        context: The block.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._exchange = Exchange(context, "memory", self._receive)
        self._watches: dict[str, _Watch] = {}  # by name on the exchange
        self._runs: dict[int, _Kept] = {}

    def keep(self, run: Run, host: str, pids: Mapping[str, int], on_exceeded: Callable[[MemoryExceeded], None]) -> None:
        """Keep a run's processes on a host to what it leases there, if it leases memory.

        Args:
            run: The run.
            host: The host.
            pids: The processes that we know of, by name.
            on_exceeded: Told that it has exceeded its limit; its processes on the host are stopped then.
        """
        memory = run.memory_on(host)
        if not memory:
            return
        watch = self._watch_of(host)
        limit = Limit(run.id, dict(pids), memory, noted=run.spec.resources.is_mpi or not pids)
        if watch.limits.get(run.id) != limit:
            watch.limits[run.id] = limit
            self._runs.setdefault(run.id, _Kept(run, on_exceeded)).watches.append(watch)
            self._send(watch, limit)

    def adjust(self, run: Run) -> None:
        """A run leases other memory now."""
        kept = self._runs.get(run.id)
        for watch in kept.watches if kept else ():
            limit = msgspec.structs.replace(watch.limits[run.id], memory=run.memory_on(watch.host))
            if watch.limits[run.id] != limit:
                watch.limits[run.id] = limit
                self._send(watch, limit)

    def release(self, run: int, stopped: Literal["continue", "stay", "kill"] = "continue") -> None:
        """Keep a run to nothing any more.

        Args:
            run: The run.
            stopped: What becomes of its processes if they were stopped; ranks of a run that was lost `stay` so until
                their world is killed.
        """
        kept = self._runs.pop(run, None)
        for watch in kept.watches if kept else ():
            if watch.limits.pop(run, None):
                self._send(watch, Release(run, stopped))

    async def stop(self) -> None:
        """Stop all watches; idempotent."""
        lives = [watch.life for watch in self._watches.values() if watch.life]
        for life in lives:
            life.cancel()
        await asyncio.gather(*lives, return_exceptions=True)
        self._watches.clear()
        self._exchange.stop()

    def _watch_of(self, host: str) -> _Watch:
        new = _Watch(host)
        watch = self._watches.setdefault(new.name, new)
        if watch is new:
            watch.life = spawn(self._live(watch), watch.name)
        return watch

    async def _live(self, watch: _Watch) -> None:
        """Start a host's watch, again when it ends."""
        host, pause = self._context.host(watch.host), _FIRST_PAUSE
        loop = asyncio.get_running_loop()
        while True:
            if host and not host.up:
                await host.wait_up()
            began = loop.time()
            await self._live_once(watch, host)
            pause = _FIRST_PAUSE if loop.time() > began + _A_WHILE else min(2 * pause, _LONGEST_PAUSE)
            await asyncio.sleep(pause)

    async def _live_once(self, watch: _Watch, host: Host | None) -> None:
        name = watch.name
        self._exchange.start()
        command = [self._context.python, "-m", "rhapsody_parsl.runtimes.memory_watch", self._exchange.endpoint, name]
        backend = Backend(command, self._context.logs / f"{name}.log", grace=1.0, host=host)
        try:
            await backend.start()
            log.warning("%s: %s", name, await backend.wait())
        finally:
            watch.up = False
            await self._end(name, backend)

    async def _end(self, name: str, backend: Backend) -> None:
        self._exchange.send(name, Quit())
        self._exchange.forget(name)
        await backend.stop()

    def _receive(self, peer: str, message: FromBackend) -> None:
        watch = self._watches.get(peer)
        match message:
            case Ready() if watch:
                watch.up = True
                for limit in watch.limits.values():
                    self._send(watch, limit)
            case Exceeded(run=run, peak=peak) if watch and run in self._runs:
                self._exceeded(watch, self._runs[run], peak)
            case _:
                return  # of a run that is over

    def _exceeded(self, watch: _Watch, kept: _Kept, peak: int) -> None:
        """Have the run's tasks fail, and its processes killed; ranks are their runtime's: a world ends as a whole.

        The run stays in the books until it is released. So a watch that is killed before it has killed is followed by
        one that stops and tells again.
        """
        limit = kept.run.memory_on(watch.host)
        if peak <= limit:
            return  # it was more than an earlier task's; the limit that holds now is on its way
        kept.on_exceeded(MemoryExceeded(limit / GB, peak / GB, watch.host))
        if not kept.run.spec.comm:
            for other in kept.watches:
                self._send(other, Release(kept.run.id, "kill"))

    def _send(self, watch: _Watch, message: Limit | Release) -> None:
        if watch.up:
            self._exchange.send(watch.name, message)
