"""Whether the pilot leaves, and why; and what it does meanwhile, whose breaking is such a reason."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Collection, Coroutine

from rhapsody_parsl.agents.host import Host

__all__ = ("Background", "Leaving", "leave", "watch")

log = logging.getLogger(__name__)


class Leaving:
    """The end of a pilot: the first reason counts. Made within an event loop."""

    def __init__(self) -> None:
        self._reason: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    @property
    def begun(self) -> bool:
        """Whether the pilot leaves."""
        return self._reason.done()

    @property
    def reason(self) -> str:
        """Why it leaves, or why it must when nobody has said."""
        return self._reason.result() if self.begun else "the pilot broke"

    def begin(self, reason: str) -> None:
        """Leave; idempotent."""
        if not self.begun:
            self._reason.set_result(reason)

    async def wait(self) -> None:
        """Wait until somebody says so."""
        await asyncio.shield(self._reason)


class Background:
    """Coroutines beside the pilot's events; one that breaks makes the pilot leave.

    Args:
        leaving: Told so.
    """

    def __init__(self, leaving: Leaving) -> None:
        self._leaving = leaving
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, coroutine: Coroutine[None, None, None], name: str) -> None:
        """Start one; its name is for people."""
        task = asyncio.create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def cancel(self) -> None:
        """Cancel all."""
        for task in list(self._tasks):
            task.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (problem := task.exception()):
            log.error("%s broke", task.get_name(), exc_info=problem)
            self._leaving.begin(f"{task.get_name()} broke: {problem!r}")


async def watch(what: str, end: Awaitable[None]) -> None:
    """Wait for an end; tell how long it took, for whoever asks why a block was slow to leave."""
    began = time.monotonic()
    try:
        await end
    except (Exception, asyncio.CancelledError):  # the rest is to end all the same
        log.exception("%s did not end cleanly", what)
    else:
        log.info("%s ended within %.1f s", what, time.monotonic() - began)


async def leave(hosts: Collection[Host]) -> None:
    """Stop other hosts, all at once."""
    await asyncio.gather(*(watch(f"host {host.name}", host.stop()) for host in hosts))
    for listener in {host.listener for host in hosts}:
        listener.close()
