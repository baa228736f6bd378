"""From settings to an engine that answers: over our socket, and over HTTP to everyone else."""

import asyncio
import os
import select
from typing import Any, NoReturn

import psutil

from rhapsody_parsl.errors import ServiceFailed
from rhapsody_parsl.runtimes.process import cause_of
from rhapsody_parsl.runtimes.vllm.answering import Answering, bind
from rhapsody_parsl.runtimes.vllm.settings import Settings
from rhapsody_parsl.runtimes.vllm.spread import opened

__all__ = ("Watch", "host", "signal_of")

_CHILD_ENDS_WITHIN = 500.0  # milliseconds, as poll takes them


async def host(settings: Settings) -> None:
    """Hold an engine until told to leave.

    The order: (1) the connection, so that the pilot's end is noticed from now on, (2) the port, (3) the
    members' start, (4) the engine, (5) one real token, (6) HTTP, (7) ready.
    """
    answering = Answering(settings)
    listener = bind(settings.host, settings.port)
    port = listener.getsockname()[1]
    watch = Watch(answering)
    try:
        with opened(settings, answering.tell) as placed:
            from rhapsody_parsl.runtimes.vllm.engine import Engine  # noqa: PLC0415 - takes seconds; others start meanwhile

            engine = await Engine.open(placed, port, watch.engine_died)
            await engine.first_token()
        serving = engine.serve_http(listener)
    except Exception as problem:  # noqa: BLE001 - whatever vLLM raises, the pilot is to hear of it
        answering.fail(ServiceFailed(settings.service.name, _describe(problem)))
    watch.begin()
    url = f"http://{settings.public_host}:{port}/v1"
    ready = asyncio.ensure_future(answering.serve(engine, url, port, engine.model))
    await asyncio.wait({ready, serving}, return_when="FIRST_COMPLETED")
    answering.lost("its HTTP server ended")


class Watch:
    """Leaves as soon as one of the engine's processes ends: without it no request is ever answered.

    Args:
        answering: What leaves.
    """

    def __init__(self, answering: Answering) -> None:
        self._answering = answering
        self._names: dict[int, str] = {}

    def begin(self) -> None:
        """Watch the processes that there are now."""
        loop = asyncio.get_running_loop()
        for child in psutil.Process().children(recursive=True):
            try:
                command: Any = child.cmdline()
                if any("resource_tracker" in word for word in command):
                    continue
                descriptor = os.pidfd_open(child.pid)
            except (psutil.NoSuchProcess, ProcessLookupError):
                continue  # a helper of the start, gone by now; the engine itself was just seen to be ready
            self._names[descriptor] = " ".join(command).strip() or child.name()
            loop.add_reader(descriptor, self._ended, descriptor)

    def engine_died(self, reason: str) -> NoReturn:
        """Requests found the engine dead: what ended tells more than they do."""
        poller = select.poll()
        for descriptor in self._names:
            poller.register(descriptor, select.POLLIN)
        for descriptor, _ in poller.poll(_CHILD_ENDS_WITHIN):
            self._ended(descriptor)
        self._answering.lost(reason)

    def _ended(self, descriptor: int) -> NoReturn:
        number = signal_of(descriptor)
        how = f"was ended by signal {number}" if number else "ended"
        self._answering.lost(f"its process {self._names[descriptor]} {how}", killed=cause_of(-number) == "killed")


def signal_of(descriptor: int) -> int:
    """Return the signal that ended a child; 0 for none, and where it is not ours to ask."""
    try:
        status = os.waitid(os.P_PIDFD, descriptor, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return 0
    return status.si_status if status and status.si_code in (os.CLD_KILLED, os.CLD_DUMPED) else 0


def _describe(problem: BaseException) -> str:
    lines = [line for line in str(problem).splitlines() if "For further information visit" not in line]
    text = "\n".join(lines).strip()
    return text if isinstance(problem, ServiceFailed) and text else f"{type(problem).__name__}: {text}"
