"""The command lines of servers: `vllm serve`, its parts on further nodes, and commands of the user's own."""

import json
from collections.abc import Mapping
from typing import Any

from rhapsody_parsl.runtimes.vllm.multi_node import engine_arguments
from rhapsody_parsl.runtimes.vllm.preflight import command_argv
from rhapsody_parsl.runtimes.vllm.settings import EngineSettings
from rhapsody_parsl.services.blanks import fill

__all__ = ("command", "flags", "member_command")

_CPU_CACHE = 256 << 20


def command(settings: EngineSettings, port: int, python: str) -> list[str]:
    """Return the server's command line: the user's with its blanks filled in, or `vllm serve`."""
    argv = command_argv(settings.service)
    if argv:
        blanks = {
            "model": settings.model,
            "host": settings.host,
            "port": str(port),
            "api_key": settings.secret,
        }
        return [fill(word, blanks) for word in argv]
    return [*_vllm_serve(settings, python), "--host", settings.host, "--port", str(port), *_engine_flags(settings)]


def member_command(settings: EngineSettings, python: str) -> list[str]:
    """Return the command line of the engine's part on a further node: it serves nobody but the head."""
    # Without a front end vLLM refuses to be told how many it has.
    return [*_vllm_serve(settings, python), "--headless", *_engine_flags(settings, api_server_count=None)]


def _vllm_serve(settings: EngineSettings, python: str) -> list[str]:
    return [python, "-m", "vllm.entrypoints.cli.main", "serve", settings.model]


def _engine_flags(settings: EngineSettings, **ours: Any) -> list[str]:
    given = engine_arguments(settings) | ours
    given.setdefault("served_model_name", list(dict.fromkeys([settings.service.name, settings.model])))
    if not settings.service.gpus:
        given.setdefault("kv_cache_memory_bytes", _CPU_CACHE)
        given.setdefault("enforce_eager", True)
    return flags(given)


def flags(arguments: Mapping[str, Any]) -> list[str]:
    """Return engine arguments as `vllm serve` takes them on its command line."""
    argv: list[str] = []
    for name, value in arguments.items():
        flag = name.replace("_", "-")
        match value:
            case None:
                continue
            case bool():
                argv.append(f"--{flag}" if value else f"--no-{flag}")
            case list() | tuple():
                argv += [f"--{flag}", *map(str, value)]
            case dict():
                argv += [f"--{flag}", json.dumps(value)]
            case _:
                argv += [f"--{flag}", str(value)]
    return argv
