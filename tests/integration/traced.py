"""Apps that tell the span in which they are."""

from typing import Any

import parsl
from opentelemetry import trace

from rhapsody_parsl import block


def current() -> str:
    of = trace.get_current_span().get_span_context()
    return f"{of.trace_id:032x}-{of.span_id:016x}"


@parsl.python_app
def simulate() -> str:
    return current()


@parsl.python_app
async def ask() -> str:
    return current()


@parsl.bash_app
def program(stdout: str = "said") -> str:
    return "echo $TRACEPARENT"


@parsl.python_app
def campaign() -> tuple[str, str]:
    with block() as mine:
        return current(), mine.submit(current).result(30)


APPS: tuple[Any, ...] = simulate, ask, program, campaign
