"""`python -m rhapsody_parsl.services.command.process SETTINGS`: stands beside a command, and leaves with it."""

import asyncio
import contextlib
import signal
import sys
import threading
from pathlib import Path

import psutil

from rhapsody_parsl.errors import ServiceFailed
from rhapsody_parsl.hosts.process_tree import adopt_orphans
from rhapsody_parsl.services.command.readiness import Log, Readiness, readiness, scheme_of
from rhapsody_parsl.services.command.settings import CommandSettings
from rhapsody_parsl.services.conversation import Conversation
from rhapsody_parsl.services.leaving import leave
from rhapsody_parsl.services.supervision import Started, supervise
from rhapsody_parsl.telling import said
from rhapsody_parsl.wire.messages import ServiceFacts

__all__ = ("main",)

_LOOK_EVERY = 0.05


class _StartedCommand:
    """A command that was started, as `supervision.Server` has it.

    Args:
        settings: From the pilot.
        conversation: With the pilot.
        started: The command.
        ready: Looks whether it is.
    """

    def __init__(
        self, settings: CommandSettings, conversation: Conversation, started: Started, ready: Readiness
    ) -> None:
        self._settings, self._conversation, self._started, self._ready = settings, conversation, started, ready

    async def until_ready(self) -> str:
        """Look until it is ready; the pilot's patience ends first, and then shows what the log says of the way."""
        told = ""
        while problem := await self._ready.problem(self._started.port):
            if problem != told and not isinstance(self._ready, Log):
                print(f"not ready yet: {problem}", file=sys.stderr, flush=True)  # noqa: T201 - into the replica's log
            told = problem
            await asyncio.sleep(_LOOK_EVERY)  # a server tells nobody when it listens
        return ""

    async def serve(self) -> None:
        """Tell the pilot that it is ready."""
        port = self._started.port
        url = f"{scheme_of(self._settings.ready)}://{self._settings.public_host}:{port}"
        if self._settings.health:
            health = asyncio.create_task(self._watch_health())
            health.add_done_callback(self._conversation.vital(asyncio.Task.result))
        await self._conversation.serve(ServiceFacts(url, "", port))

    async def _watch_health(self) -> None:
        """Look again and again; who is unwell too often is replaced: the pilot stops us, and the command in order."""
        failures, most, problem = 0, self._settings.health_failures, ""
        while failures < most:
            await asyncio.sleep(self._settings.health)
            problem = await self._ready.problem(self._started.port)
            failures = failures + 1 if problem else 0
        looks = f"health={self._settings.health:g} s, health_failures={most}"
        self._conversation.tell_failure(
            ServiceFailed(self._settings.name, f"it was unwell {most} times in a row ({looks}): {problem}")
        )


async def _run(settings: CommandSettings) -> None:
    started: list[Started] = []
    stopping = threading.Lock()

    def stop() -> None:
        if not stopping.acquire(blocking=False):
            return  # asked by the signal and by the pilot's end: a second signal would tell many a server to hurry
        for one in started:
            _stop(one.pid, settings)
        leave()

    def server(one: Started) -> _StartedCommand:
        started.append(one)
        return _StartedCommand(settings, conversation, one, ready)

    conversation = Conversation(settings, stop)
    try:
        ready = readiness(settings.ready)
    except Exception as problem:  # noqa: BLE001 - opening a function runs the user's code
        conversation.fail(ServiceFailed(settings.name, f"its ready function cannot be opened: {said(problem)}"))
    await supervise(settings, conversation, argv=settings.filled, server=server, fixed_port=settings.fixed_port)


def _stop(pid: int, settings: CommandSettings) -> None:
    """Ask the command to leave, and wait for it."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        process.send_signal(signal.Signals[settings.stop_signal])
        psutil.wait_procs([process], timeout=settings.stop_timeout)


def main(arguments: list[str]) -> None:
    """Be there until the command ends, or the pilot is gone."""
    adopt_orphans()
    asyncio.run(_run(CommandSettings.read(Path(arguments[0]))))


if __name__ == "__main__":
    main(sys.argv[1:])
