"""The span in which a task runs: what it starts finds it in `TRACEPARENT`, and its own spans are below it.

It stays until the next task of the process enters its own: with telemetry each task has one.
"""

import os
from collections.abc import Callable
from functools import cache

__all__ = ("VARIABLE", "enter", "entered")

VARIABLE = "TRACEPARENT"
"""As the W3C calls it: version, trace, span and flags, in hexadecimal digits."""


class _Here:
    """The span of this process."""

    trace = ""


def entered() -> str:
    """Return the span in which this process is; "" for none."""
    return _Here.trace


def enter(traceparent: str) -> None:
    """Be in a span; where OpenTelemetry is not installed, only what is started is told of it."""
    _Here.trace = os.environ[VARIABLE] = traceparent
    _attacher()(traceparent)


@cache
def _attacher() -> Callable[[str], None]:
    """Return what makes a span OpenTelemetry's current one."""
    try:
        from opentelemetry.context import Context, attach  # noqa: PLC0415 - only with telemetry
        from opentelemetry.trace.propagation import tracecontext  # noqa: PLC0415 - as above
    except ImportError:
        return lambda _: None
    reader = tracecontext.TraceContextTextMapPropagator()

    def make_current(traceparent: str) -> None:
        attach(reader.extract({"traceparent": traceparent}, Context()))

    return make_current
