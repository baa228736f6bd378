"""Find the block's services from within a task."""

import json
import os
from dataclasses import dataclass
from urllib.parse import urlsplit

from rhapsody_parsl.errors import ServiceNotFound
from rhapsody_parsl.wire.failures import from_wire

__all__ = ("ENVIRONMENT_VARIABLE", "Service", "service")

ENVIRONMENT_VARIABLE = "RHAPSODY_SERVICES"
"""JSON object of the block's services: name to the fields of a `Service` that is ready, or to why it has failed."""


@dataclass(frozen=True, slots=True)
class Service:
    """A service of the block.

    Attributes:
        name: The name in the configuration.
        url: Where it answers: `http://host:port`, or `tcp://host:port` for a command that is not known to speak HTTP. A
            model's URL ends in `/v1`.
        secret: The password that was made for a command.
        base_url: URL of a model's OpenAI-compatible API, `http://host:port/v1`.
        api_key: The bearer token for a model.
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


def service(name: str) -> Service:
    """Return a service of the block that this task runs in.

    Args:
        name: As configured in `VLLMService` or `CommandService`.

    Raises:
        ServiceNotFound: The block has no such service, or it is not ready yet.
        RhapsodyError: The service has failed; a `ServiceFailed` in most cases.
    """
    known = json.loads(os.environ.get(ENVIRONMENT_VARIABLE, "{}"))
    found = known.get(str.__str__(name)) if issubclass(type(name), str) else None
    if found is None:
        ready = sorted(one for one, fields in known.items() if "error" not in fields)
        raise ServiceNotFound(
            "service", name, f"ready in this block are {', '.join(ready) or 'none'}",
            "Call it from a task of an executor with that service in RhapsodyExecutor(services=[...])",
        )  # fmt: skip
    if "error" in found:
        raise from_wire(*found["error"])
    return Service(name, **found)
