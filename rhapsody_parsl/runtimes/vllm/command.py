"""`python -m rhapsody_parsl.runtimes.vllm.command SETTINGS`: a replica that supervises an OpenAI-compatible server.

The server is `vllm serve`, or any command the user gives. Requests go to it over HTTP (`relay`).
"""

import asyncio
import os
import sys
import time
from pathlib import Path

from rhapsody_parsl.errors import ServiceFailed
from rhapsody_parsl.hosts.ending import cause_of, how_ended
from rhapsody_parsl.hosts.process_tree import adopt_orphans
from rhapsody_parsl.runtimes.vllm.answering import Answering, bind
from rhapsody_parsl.runtimes.vllm.command_line import command
from rhapsody_parsl.runtimes.vllm.relay import Relay
from rhapsody_parsl.runtimes.vllm.settings import Settings
from rhapsody_parsl.runtimes.vllm.spread import opened

__all__ = ("main",)

_LOOK_EVERY = 0.25


async def supervise(settings: Settings) -> None:
    """Start the server, wait for one real token, and pass requests on until told to leave."""
    answering = Answering(settings)
    with opened(settings, answering.tell) as placed:
        await _supervise(placed, answering)


async def _supervise(settings: Settings, answering: Answering) -> None:
    # Bound but not listening: nobody else is given the port, and a server may still take it.
    reserved = bind(settings.host, settings.port)
    port = reserved.getsockname()[1]
    argv = command(settings, port, sys.executable)
    try:
        server = await asyncio.create_subprocess_exec(*argv, stdin=asyncio.subprocess.DEVNULL)
    except OSError as problem:
        answering.fail(ServiceFailed(settings.service.name, f"{argv[0]}: {problem.strerror}"))
    exited = asyncio.ensure_future(server.wait())
    name = f"the command {os.path.basename(argv[0])}"
    url = f"http://127.0.0.1:{port}/v1"
    relay = Relay(url, settings.api_key, exited, lambda how: answering.lost(f"{name} {how}"))
    ready = asyncio.ensure_future(_until_ready(relay, settings.service.startup_timeout))
    await asyncio.wait({exited, ready}, return_when="FIRST_COMPLETED")
    if not exited.done() and (problem_text := ready.result()):
        answering.fail(ServiceFailed(settings.service.name, problem_text))
    if not exited.done():
        public = f"http://{settings.public_host}:{port}/v1"
        serving = asyncio.ensure_future(answering.serve(relay, public, port, relay.model))
        await asyncio.wait({exited, serving}, return_when="FIRST_COMPLETED")
    code = await exited
    answering.lost(f"{name} {how_ended(code)}", killed=cause_of(code) == "killed")


async def _until_ready(relay: Relay, patience: float) -> str:
    """Ask until the server answers, then for one token; return what is wrong with it, or ""."""
    deadline = time.monotonic() + patience
    while not await relay.find_model():
        if time.monotonic() > deadline:
            return f"no answer at {relay.base_url}/models within {patience:g} s"
        await asyncio.sleep(_LOOK_EVERY)  # a server tells nobody when it listens
    return await relay.first_token()


def main(arguments: list[str]) -> None:
    """Serve until told to leave or the pilot is gone."""
    adopt_orphans()
    asyncio.run(supervise(Settings.read(Path(arguments[0]))))


if __name__ == "__main__":
    main(sys.argv[1:])
