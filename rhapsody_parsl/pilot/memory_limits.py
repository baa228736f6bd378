"""Keeps runs to the memory they lease: a watch on each host that has such a run, and what it is told."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Literal

from rhapsody_parsl.errors import MemoryExceeded
from rhapsody_parsl.runtimes.exchange import Exchange
from rhapsody_parsl.runtimes.probe import GB
from rhapsody_parsl.runtimes.process import Backend
from rhapsody_parsl.runtimes.protocol import Context, Run
from rhapsody_parsl.wire.messages import Exceeded, FromBackend, Limit, Quit, Ready, Release

__all__ = ("MemoryLimits",)

log = logging.getLogger(__name__)

_MOST_STARTS = 5
_PAUSE = 1.0
"""Seconds before a watch that ended is started again."""


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
        on_exceeded: Told which run has exceeded its limit, and the error for its tasks; its processes are stopped then.
    """

    def __init__(self, context: Context, on_exceeded: Callable[[int, MemoryExceeded], None]) -> None:
        self._context, self._on_exceeded = context, on_exceeded
        self._hub: Exchange | None = None
        self._watches: dict[str, _Watch] = {}  # by name on the hub
        self._runs: dict[int, tuple[Run, list[_Watch]]] = {}

    def keep(self, run: Run, host: str, pids: Sequence[int]) -> None:
        """Keep a run's processes on a host to what it leases there, if it leases memory."""
        memory = run.memory_on(host)
        if not memory:
            return
        watch = self._watch_of(host)
        limit = Limit(run.id, list(pids), memory)
        if watch.limits.get(run.id) != limit:
            watch.limits[run.id] = limit
            self._runs.setdefault(run.id, (run, []))[1].append(watch)
            self._send(watch, limit)

    def adjust(self, run: Run) -> None:
        """A run leases other memory now."""
        for watch in self._runs.get(run.id, (run, ()))[1]:
            limit, memory = watch.limits[run.id], run.memory_on(watch.host)
            if limit.memory != memory:
                watch.limits[run.id] = Limit(run.id, limit.pids, memory)
                self._send(watch, watch.limits[run.id])

    def release(self, run: int, stopped: Literal["continue", "stay", "kill"] = "continue") -> None:
        """Keep a run to nothing any more.

        Args:
            run: The run.
            stopped: What becomes of its processes if they were stopped; ranks of a run that was lost `stay` so until
                their world is killed.
        """
        for watch in self._runs.pop(run, (None, ()))[1]:
            if watch.limits.pop(run, None):
                self._send(watch, Release(run, stopped))

    async def stop(self) -> None:
        """Stop all watches; idempotent."""
        lives = [watch.life for watch in self._watches.values() if watch.life]
        for life in lives:
            life.cancel()
        await asyncio.gather(*lives, return_exceptions=True)
        self._watches.clear()
        if self._hub:
            self._hub.close()
            self._hub = None

    def _watch_of(self, host: str) -> _Watch:
        new = _Watch(host)
        watch = self._watches.setdefault(new.name, new)
        if watch is new:
            watch.life = asyncio.create_task(self._live(watch), name=watch.name)
        return watch

    async def _live(self, watch: _Watch) -> None:
        """Start a host's watch, again when it ends."""
        name = watch.name
        for _ in range(_MOST_STARTS):
            if self._hub is None:
                self._hub = Exchange(self._context, "memory", self._receive)
            words = self._hub.words([watch.host])
            command = [self._context.python, "-m", "rhapsody_parsl.runtimes.memory_watch", words[0], name, *words[1:]]
            file = self._context.logs / f"{name}.log"
            backend = Backend(command, file, grace=1.0, host=self._context.host(watch.host))
            try:
                await backend.start()
                log.warning("%s: %s", name, await backend.wait())
            finally:
                watch.up = False
                await self._end(name, backend)
            await asyncio.sleep(_PAUSE)
        log.error("%s ended %d times: memory is not enforced on its host any more", name, _MOST_STARTS)

    async def _end(self, name: str, backend: Backend) -> None:
        if self._hub:
            self._hub.send(name, Quit())
            self._hub.forget(name)
        await backend.stop()

    def _receive(self, peer: str, message: FromBackend) -> None:
        watch = self._watches.get(peer)
        match message:
            case Ready() if watch:
                watch.up = True
                for limit in watch.limits.values():
                    self._send(watch, limit)
            case Exceeded(run=run, peak=peak) if watch and run in self._runs:
                self._exceeded(watch, self._runs[run][0], peak)
            case _:
                return  # of a run that is over

    def _exceeded(self, watch: _Watch, run: Run, peak: int) -> None:
        """Have the run's tasks fail, and its processes killed; ranks are their runtime's: a world ends as a whole."""
        limit = run.memory_on(watch.host)
        if peak <= limit:
            return  # it was more than an earlier task's; the limit that holds now is on its way
        self._on_exceeded(run.id, MemoryExceeded(limit / GB, peak / GB, watch.host))
        if not run.spec.comm:
            self.release(run.id, "kill")

    def _send(self, watch: _Watch, message: Limit | Release) -> None:
        if watch.up and self._hub:
            self._hub.send(watch.name, message)
