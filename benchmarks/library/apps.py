"""The apps that several benchmarks call.

A worker that opens one imports this module. Where the first result is measured, a benchmark has apps of its own: those
of a `__main__` travel whole.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

from parsl import python_app

from benchmarks.library import sides
from rhapsody_parsl import MPI, annotate

Answer = tuple[float, int, str]
"""Seconds, tokens, and the first text."""


@python_app
def no_op(number: int) -> int:
    """Do nothing."""
    return number


@python_app
@annotate(MPI(ranks=2))
def add_up(number: int, comm: Any = None) -> int:
    """Add a number over two ranks."""
    return int(comm.allreduce(number))


@python_app
def ask(prompt: str, parsl_resource_specification: dict[str, Any] | None = None) -> str:
    """Ask a service."""
    return prompt


def through_apps(service: str) -> Callable[[Sequence[str], int], Answer]:
    """Return how prompts are put to a service: an app each, all at once."""

    def generate(prompts: Sequence[str], tokens: int) -> Answer:
        spec = {"service": service, "max_tokens": tokens, "temperature": 0, "ignore_eos": True}
        began = time.perf_counter()
        futures = [ask(prompt, parsl_resource_specification=spec) for prompt in prompts]
        texts = [future.result() for future in futures]
        seconds = time.perf_counter() - began
        sides.check(all(isinstance(text, str) for text in texts), "no text")
        return seconds, tokens * len(texts), texts[0]

    return generate
