"""Find the block's services from within a task."""

import json
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rhapsody_parsl.errors import ServiceNotFound, ServiceNotReady
from rhapsody_parsl.wire.failures import from_wire

__all__ = ("ENVIRONMENT_VARIABLE", "FILE_VARIABLE", "Service", "service")

ENVIRONMENT_VARIABLE = "RHAPSODY_SERVICES"
"""JSON object of the block's services when the task began.

By name: the fields of a `Service` that is ready, why it has failed, or within how many seconds it is to be ready.
"""
FILE_VARIABLE = "RHAPSODY_SERVICES_FILE"
"""A file that holds the same as of now."""
_LOOK_EVERY = 0.1


@dataclass(frozen=True, slots=True)
class Service:
    """A service of the block.

    Attributes:
        name: The name in the configuration.
        url: Where it answers: `http://host:port`, or `tcp://host:port` for a command that is not known to speak HTTP. A
            model's URL ends in `/v1`, and is that of one replica.
        secret: The password that was made for it; with a model's, its replica answers at `url`.
        base_url: Of a model: the block's front door, `http://host:port/v1`, which leads to all replicas.
        api_key: The bearer token for the front door.
        model: The model's name in requests.
    """

    name: str
    url: str
    secret: str = ""
    base_url: str = ""
    api_key: str = ""
    model: str = ""

    @property
    def host(self) -> str:
        """The host's name or address."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """The port."""
        return urlsplit(self.url).port or 0


def service(name: str, timeout: float | None = None) -> Service:
    """Return a service of the block that this task runs in; while it starts, wait.

    Args:
        name: As configured in `VLLMService` or `CommandService`.
        timeout: Seconds to wait at most; default its `startup_timeout`.

    Raises:
        ServiceNotFound: The block has no such service.
        ServiceNotReady: It was not ready in time.
        RhapsodyError: The service was stopped or has failed; a `ServiceFailed` in most cases.
    """
    known = json.loads(os.environ.get(ENVIRONMENT_VARIABLE, "{}"))
    name = str.__str__(name) if issubclass(type(name), str) else ""
    found = known.get(name)
    if found is None or "within" in found:
        found = _awaited(name, known, timeout)
    if "error" in found:
        raise from_wire(*found["error"])
    return Service(name, **found)


def _awaited(name: str, known: dict[str, Any], timeout: float | None) -> dict[str, Any]:
    """Return what the block writes of a service that was not ready when this task began."""
    began, pause = time.monotonic(), threading.Event()
    while True:
        known = _written() or known
        found = known.get(name)
        if found is None:
            raise _not_found(name, known)
        if "within" not in found:
            return dict(found)
        limit = found["within"] if timeout is None else timeout
        if time.monotonic() - began >= limit:
            setting = "startup_timeout" if timeout is None else "timeout"
            raise ServiceNotReady(name, setting, limit, f"executor.services['{name}'].status() tells how it is")
        pause.wait(_LOOK_EVERY)  # a file tells nobody when it changes


def _written() -> dict[str, Any]:
    """Return the block's services as they are now; {} where that cannot be read."""
    try:
        return dict(json.loads(Path(os.environ[FILE_VARIABLE]).read_bytes()))
    except (KeyError, OSError, ValueError):
        return {}


def _not_found(name: str, known: dict[str, Any]) -> ServiceNotFound:
    ready = sorted(one for one, fields in known.items() if "url" in fields)
    return ServiceNotFound(
        "service", name, f"ready in this block are {', '.join(ready) or 'none'}",
        "Call it from a task of an executor with that service in RhapsodyExecutor(services=[...])",
    )  # fmt: skip
