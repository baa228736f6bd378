"""Requests as an app makes them: its value is what the service is asked."""

from typing import Any

from parsl import python_app


@python_app
def ask(value: Any, parsl_resource_specification: dict[str, Any] | None = None) -> Any:
    return value


def asked(value: Any, service: str = "tiny", **parameters: Any) -> Any:
    """Return the future of a request."""
    return ask(value, parsl_resource_specification={"service": service, **parameters})
