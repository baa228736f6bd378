"""`python -m rhapsody_parsl.runtimes.vllm.command SETTINGS`: a replica that supervises an OpenAI-compatible server.

The server is `vllm serve`, or any command the user gives. Requests go to it over HTTP (`relay`).
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rhapsody_parsl.errors import ServiceFailed
from rhapsody_parsl.runtimes.vllm.answering import Answering, bind
from rhapsody_parsl.runtimes.vllm.checks import command_words
from rhapsody_parsl.runtimes.vllm.relay import Relay
from rhapsody_parsl.runtimes.vllm.settings import Settings
from rhapsody_parsl.worker.process_tree import adopt_orphans

__all__ = ("command", "flags", "main")

_CPU_CACHE = 256 << 20
_LOOK_EVERY = 0.25


def command(settings: Settings, port: int, python: str) -> list[str]:
    """Return the server's command line: the user's with its blanks filled in, or `vllm serve`."""
    words = command_words(settings.service)
    if words:
        blanks = {
            "{model}": settings.model,
            "{host}": settings.host,
            "{port}": str(port),
            "{api_key}": settings.api_key,
        }
        return [_fill(word, blanks) for word in words]
    given: dict[str, Any] = dict(settings.service.engine_args)
    given.setdefault("served_model_name", list(dict.fromkeys([settings.service.name, settings.model])))
    if not settings.service.gpus:
        given.setdefault("kv_cache_memory_bytes", _CPU_CACHE)
        given.setdefault("enforce_eager", True)
    address = ["--host", settings.host, "--port", str(port)]
    return [python, "-m", "vllm.entrypoints.cli.main", "serve", settings.model, *address, *flags(given)]


def _fill(word: str, blanks: Mapping[str, str]) -> str:
    for blank, value in blanks.items():
        word = word.replace(blank, value)
    return word


def flags(arguments: Mapping[str, Any]) -> list[str]:
    """Return engine arguments as `vllm serve` takes them on its command line."""
    words: list[str] = []
    for name, value in arguments.items():
        flag = name.replace("_", "-")
        match value:
            case None:
                continue
            case bool():
                words.append(f"--{flag}" if value else f"--no-{flag}")
            case list() | tuple():
                words += [f"--{flag}", *map(str, value)]
            case dict():
                words += [f"--{flag}", json.dumps(value)]
            case _:
                words += [f"--{flag}", str(value)]
    return words


async def supervise(settings: Settings) -> None:
    """Start the server, wait for one real token, and pass requests on until told to leave."""
    answering = Answering(settings)
    # Bound but not listening: nobody else is given the port, and a server may still take it.
    reserved = bind(settings.host, settings.port)
    port = reserved.getsockname()[1]
    words = command(settings, port, sys.executable)
    try:
        server = await asyncio.create_subprocess_exec(*words, stdin=asyncio.subprocess.DEVNULL)
    except OSError as problem:
        answering.fail(ServiceFailed(settings.service.name, f"{words[0]}: {problem.strerror}"))
    exited = asyncio.ensure_future(server.wait())
    relay = Relay(f"http://127.0.0.1:{port}/v1", settings.api_key, exited)
    ready = asyncio.ensure_future(_until_ready(relay, settings.service.startup_timeout))
    await asyncio.wait({exited, ready}, return_when="FIRST_COMPLETED")
    if not exited.done() and (problem_text := ready.result()):
        answering.fail(ServiceFailed(settings.service.name, problem_text))
    if not exited.done():
        url = f"http://{settings.public_host}:{port}/v1"
        serving = asyncio.ensure_future(answering.serve(relay, url, port, relay.model))
        await asyncio.wait({exited, serving}, return_when="FIRST_COMPLETED")
    answering.lost(f"the command {os.path.basename(words[0])} {_ending(await exited)}")


async def _until_ready(relay: Relay, patience: float) -> str:
    """Ask until the server answers, then for one token; return what is wrong with it, or ""."""
    deadline = time.monotonic() + patience
    while not await relay.find_model():
        if time.monotonic() > deadline:
            return f"no answer at {relay.base_url}/models within {patience:g} s"
        await asyncio.sleep(_LOOK_EVERY)  # a server tells nobody when it listens
    return await relay.first_token()


def _ending(code: int) -> str:
    return f"was ended by signal {-code}" if code < 0 else f"left with exit code {code}"


def main(arguments: list[str]) -> None:
    """Serve until told to leave or the pilot is gone."""
    adopt_orphans()
    asyncio.run(supervise(Settings.read(Path(arguments[0]))))


if __name__ == "__main__":
    main(sys.argv[1:])
