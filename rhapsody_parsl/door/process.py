"""`python -m rhapsody_parsl.door.process SETTINGS`: the front door of a block."""

import asyncio
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from aiohttp import web

from rhapsody_parsl.door.counters import Counters
from rhapsody_parsl.door.keys import Keys
from rhapsody_parsl.door.models import Models
from rhapsody_parsl.door.passage import Passage
from rhapsody_parsl.door.server import Server
from rhapsody_parsl.door.settings import PULSE, DoorSettings
from rhapsody_parsl.door.visits import Visits
from rhapsody_parsl.hosts import limits
from rhapsody_parsl.services.conversation import Conversation, bind
from rhapsody_parsl.services.leaving import leave
from rhapsody_parsl.wire.door import DoorKeys, DoorLoads, DoorRoutes, DoorVisits
from rhapsody_parsl.wire.messages import ServiceFacts, ToBackend

__all__ = ("main",)

_TELL_AFTER = 0.05
"""Seconds in which changes of what replicas have are gathered."""
_BACKLOG = 1024
_FILES = 65_536
"""A request that is passed on takes two, one that waits takes one."""
_KEEP_ALIVE = 3600.0
"""Seconds; whoever keeps a connection longer loses no race with our closing it."""


class _Process:
    """Hears the pilot, tells it what the door has, and serves.

    Args:
        settings: From the pilot.
    """

    def __init__(self, settings: DoorSettings) -> None:
        self._settings, self._conversation = settings, Conversation(settings)
        self._visits = Visits(settings.record)
        self._models, self._counters, self._keys = Models(), Counters(), Keys(settings.secret)
        self._passage = Passage(self._models, self._counters, settings.wait, self._changed)
        self._due: asyncio.TimerHandle | None = None
        self._learning: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Serve until told to leave."""
        settings = self._settings
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._leave)
        app = Server(self._models, self._passage, self._counters, self._keys, visits=self._visits).application()
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, keepalive_timeout=_KEEP_ALIVE)
        await runner.setup()
        listener = bind(settings.host, settings.port)
        await web.SockSite(runner, listener, backlog=_BACKLOG).start()
        self._beating = asyncio.create_task(self._beat())
        port = listener.getsockname()[1]
        await self._conversation.serve(ServiceFacts(f"http://{settings.public_host}:{port}/v1", "", port), self._hear)

    async def _beat(self) -> None:
        """Show the pilot that this process is at work; one that is frozen shows nothing."""
        while True:
            await asyncio.sleep(PULSE)
            self._tell()

    def _hear(self, message: ToBackend) -> None:
        if isinstance(message, DoorKeys):
            self._keys.update(message.keys)
            self._models.wake()
        if isinstance(message, DoorLoads):
            self._models.share(message.held)
        if isinstance(message, DoorRoutes):
            self._models.update(message)
            self._tell()
            for model in self._models:
                if not model.listed and model.router.first():
                    task = asyncio.create_task(self._passage.learn(model))
                    self._learning.add(task)
                    task.add_done_callback(self._learning.discard)

    def _changed(self) -> None:
        if self._due is None:
            self._due = asyncio.get_running_loop().call_later(_TELL_AFTER, self._tell)

    def _tell(self) -> None:
        if self._due:
            self._due.cancel()
        self._due = None
        models, held, waiting = self._models, self._models.held(), self._models.waiting()
        self._tell_requests(waiting, at_once=not held and not waiting)  # first: the pilot may leave when none is here
        visits = DoorVisits(models.version, held, waiting, models.take_answered(), models.suspicions())
        self._conversation.tell(visits)

    def _tell_requests(self, waiting: Mapping[str, int], *, at_once: bool) -> None:
        """Tell of requests as much as the pilot takes now: who waits for an answer is not to wait for a record."""
        answering, spoke = self._models.answering(), self._conversation.spoke
        while spoke.has_room() and (said := self._visits.take(waiting, answering, at_once=at_once)):
            self._conversation.tell(said)

    def _leave(self) -> None:
        """Tell of what was not told yet, and leave."""
        if said := self._visits.end_all():
            self._conversation.tell(said)
        leave()


async def _run(settings: DoorSettings) -> None:
    await _Process(settings).run()


def main(arguments: list[str]) -> None:
    """Serve until told to leave or the pilot is gone."""
    limits.allow(_FILES)
    asyncio.run(_run(DoorSettings.read(Path(arguments[0]))))


if __name__ == "__main__":
    main(sys.argv[1:])
