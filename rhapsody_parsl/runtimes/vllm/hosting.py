"""From settings to an engine that answers: over our socket, and over HTTP to everyone else."""

import asyncio
import os
from typing import Any

import psutil

from rhapsody_parsl.errors import ServiceFailed
from rhapsody_parsl.runtimes.vllm.answering import Answering, bind
from rhapsody_parsl.runtimes.vllm.settings import Settings
from rhapsody_parsl.runtimes.vllm.spread import opened

__all__ = ("host",)


async def host(settings: Settings) -> None:
    """Hold an engine until told to leave.

    The order: (1) the connection, so that the pilot's end is noticed from now on, (2) the port, (3) the
    members' start, (4) the engine, (5) one real token, (6) HTTP, (7) ready.
    """
    answering = Answering(settings)
    listener = bind(settings.host, settings.port)
    port = listener.getsockname()[1]
    try:
        with opened(settings, answering.tell) as placed:
            from rhapsody_parsl.runtimes.vllm.engine import Engine  # noqa: PLC0415 - takes seconds; others start meanwhile

            engine = await Engine.open(placed, port, answering.lost)
            await engine.first_token()
        serving = engine.serve_http(listener)
    except Exception as problem:  # noqa: BLE001 - whatever vLLM raises, the pilot is to hear of it
        answering.fail(ServiceFailed(settings.service.name, _describe(problem)))
    watch_children(answering)
    url = f"http://{settings.public_host}:{port}/v1"
    ready = asyncio.ensure_future(answering.serve(engine, url, port, engine.model))
    await asyncio.wait({ready, serving}, return_when="FIRST_COMPLETED")
    answering.lost("its HTTP server ended")


def watch_children(answering: Answering) -> None:
    """Leave as soon as one of the engine's processes ends: without it no request is ever answered."""
    loop = asyncio.get_running_loop()

    def ended(descriptor: int, name: str) -> None:
        loop.remove_reader(descriptor)
        answering.lost(f"its process {name} ended")

    for child in psutil.Process().children(recursive=True):
        try:
            command: Any = child.cmdline()
            if any("resource_tracker" in word for word in command):
                continue
            descriptor = os.pidfd_open(child.pid)
        except (psutil.NoSuchProcess, ProcessLookupError):
            continue  # a helper of the start, gone by now; the engine itself was just seen to be ready
        loop.add_reader(descriptor, ended, descriptor, " ".join(command).strip() or child.name())


def _describe(problem: BaseException) -> str:
    lines = [line for line in str(problem).splitlines() if "For further information visit" not in line]
    text = "\n".join(lines).strip()
    return text if isinstance(problem, ServiceFailed) and text else f"{type(problem).__name__}: {text}"
