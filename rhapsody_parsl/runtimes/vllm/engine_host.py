"""From settings to an engine that answers: over our socket, and over HTTP to everyone else."""

import asyncio
import multiprocessing
import os
import select
import time
from multiprocessing.process import BaseProcess
from typing import Any, NoReturn

import psutil

from rhapsody_parsl.errors import ServiceFailed
from rhapsody_parsl.hosts.ending import cause_of, how_ended
from rhapsody_parsl.runtimes.vllm.multi_node import opened
from rhapsody_parsl.runtimes.vllm.ports import Ports, claimed
from rhapsody_parsl.runtimes.vllm.request_server import RequestServer
from rhapsody_parsl.runtimes.vllm.settings import EngineSettings
from rhapsody_parsl.services.conversation import Conversation, bind

__all__ = ("Watch", "host")

_CHILD_ENDS_WITHIN = 500.0  # milliseconds, as poll takes them
_LOOK_AGAIN = 0.005


async def host(settings: EngineSettings) -> None:
    """Hold an engine until told to leave.

    The order: (1) the connection, so that the pilot's end is noticed from now on, (2) the ports, (3) the
    members' start, (4) the engine, (5) one real token, (6) HTTP, (7) ready.
    """
    conversation = Conversation(settings)
    with claimed(one_engine=not settings.service.data_parallel) as ports:
        await _host(settings, conversation, ports)


async def _host(settings: EngineSettings, conversation: Conversation, ports: Ports) -> None:
    listener = bind(settings.host, settings.port)
    port = listener.getsockname()[1]
    watch = Watch(conversation)
    try:
        with opened(settings, conversation.tell, ports.rendezvous) as placed:
            from rhapsody_parsl.runtimes.vllm.engine import Engine  # noqa: PLC0415 - takes seconds; others start meanwhile

            engine = await Engine.open(placed, port, watch.engine_died)
            await engine.first_token()
        serving = engine.serve_http(listener)
    except Exception as problem:  # noqa: BLE001 - whatever vLLM raises, the pilot is to hear of it
        conversation.fail(ServiceFailed(settings.service.name, _describe(problem)))
    watch.begin()
    url = f"http://{settings.public_host}:{port}/v1"
    ready = asyncio.ensure_future(
        RequestServer(conversation, engine, settings.service.stall_timeout).serve(url, port, engine.model)
    )
    hanging = asyncio.ensure_future(engine.watch_progress())
    await asyncio.wait({ready, serving, hanging}, return_when="FIRST_COMPLETED")
    conversation.lost("its HTTP server ended")


class Watch:
    """Leaves as soon as one of the engine's processes ends: without it no request is ever answered.

    Args:
        conversation: By which the pilot is told.
    """

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._watched: dict[int, tuple[int, str]] = {}
        self._children: dict[int | None, BaseProcess] = {}

    def begin(self) -> None:
        """Watch the processes that there are now."""
        loop = asyncio.get_running_loop()
        self._children = {child.pid: child for child in multiprocessing.active_children()}
        for child in psutil.Process().children(recursive=True):
            try:
                command: Any = child.cmdline()
                if any("resource_tracker" in word for word in command):
                    continue
                descriptor = os.pidfd_open(child.pid)
            except (psutil.NoSuchProcess, ProcessLookupError):
                continue  # a helper of the start, gone by now; the engine itself was just seen to be ready
            self._watched[descriptor] = child.pid, " ".join(command).strip() or child.name()
            loop.add_reader(descriptor, self._ended, descriptor)

    def engine_died(self, reason: str) -> NoReturn:
        """Requests found the engine dead: what ended tells more than they do."""
        poller = select.poll()
        for descriptor in self._watched:
            poller.register(descriptor, select.POLLIN)
        for descriptor, _ in poller.poll(_CHILD_ENDS_WITHIN):
            self._ended(descriptor)
        self._conversation.lost(reason)

    def _ended(self, descriptor: int) -> NoReturn:
        pid, name = self._watched[descriptor]
        code = self._exit_code(pid)
        self._conversation.lost(f"its process {name} {how_ended(code)}", killed=cause_of(code or 0) == "killed")

    def _exit_code(self, pid: int) -> int | None:
        """Return a process's exit code where multiprocessing started it, as it does vLLM's; None where it did not.

        A thread of vLLM's waits for it too. Where that one was first, multiprocessing knows the code a moment later.
        """
        if not (child := self._children.get(pid)):
            return None
        child.join(_CHILD_ENDS_WITHIN / 1000)
        deadline = time.monotonic() + _CHILD_ENDS_WITHIN / 1000
        while child.exitcode is None and time.monotonic() < deadline:
            time.sleep(_LOOK_AGAIN)  # noqa: TID251 - the other thread tells nobody; the engine is dead anyway
        return child.exitcode


def _describe(problem: BaseException) -> str:
    lines = [line for line in str(problem).splitlines() if "For further information visit" not in line]
    text = "\n".join(lines).strip()
    return text if isinstance(problem, ServiceFailed) and text else f"{type(problem).__name__}: {text}"
