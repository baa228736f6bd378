"""Find the block's services from within a task."""

import json
import os
from dataclasses import dataclass

from rhapsody_parsl.errors import ServiceNotFound

__all__ = ("ENVIRONMENT_VARIABLE", "Service", "service")

ENVIRONMENT_VARIABLE = "RHAPSODY_SERVICES"
"""JSON object of the block's services that are ready: name to `base_url`, `api_key`, `model`."""


@dataclass(frozen=True, slots=True)
class Service:
    """A service of the block.

    Attributes:
        name: As configured.
        base_url: Of its OpenAI-compatible API, `http://host:port/v1`.
        api_key: To be sent as bearer token.
        model: Name to put into requests.
    """

    name: str
    base_url: str
    api_key: str
    model: str


def service(name: str) -> Service:
    """Return a service of the block this task runs in.

    Args:
        name: As configured in `VLLMService`.

    Raises:
        ServiceNotFound: The block has no such service, or it is not ready yet.
    """
    known = json.loads(os.environ.get(ENVIRONMENT_VARIABLE, "{}"))
    found = known.get(str.__str__(name)) if issubclass(type(name), str) else None
    if found is None:
        raise ServiceNotFound(
            "service", name, f"ready in this block are {', '.join(sorted(known)) or 'none'}",
            "Call it from a task of an executor whose VLLMRuntime has that service",
        )  # fmt: skip
    return Service(name, **found)
