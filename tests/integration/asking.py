"""Requests as an app makes them: its value is what the service is asked."""

import urllib.request
from typing import Any

from parsl import python_app

from rhapsody_parsl import RhapsodyExecutor


@python_app
def ask(value: Any, parsl_resource_specification: dict[str, Any] | None = None) -> Any:
    return value


def asked(value: Any, service: str = "tiny", **parameters: Any) -> Any:
    """Return the future of a request."""
    return ask(value, parsl_resource_specification={"service": service, **parameters})


def problem(value: Any, service: str = "tiny", **parameters: Any) -> BaseException:
    """Return the error of a request."""
    return asked(value, service, **parameters).exception()  # type: ignore[no-any-return]  # the caller looks


def running(executor: RhapsodyExecutor, service: str = "tiny") -> float:
    """Return how many requests the engine says it runs."""
    url = executor.services[service].url.replace("/v1", "/metrics")
    with urllib.request.urlopen(url) as answer:  # noqa: S310 - our own service
        lines = answer.read().decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("vllm:num_requests_running{"))
