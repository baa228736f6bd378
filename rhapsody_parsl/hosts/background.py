"""Coroutines that nobody waits for: when one breaks, the loop's exception handler hears of it at once.

A task that is kept somewhere tells of its exception when somebody asks, and here nobody does: who waits for what it was
to do would wait without an end. The pilot's handler ends the block (`pilot.loop`).
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ("spawn",)

T = TypeVar("T")


def spawn(coroutine: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
    """Start one.

    Args:
        coroutine: Not yet begun.
        name: For people.
    """
    task = asyncio.create_task(coroutine, name=name)
    task.add_done_callback(_raise_problem)
    return task


def _raise_problem(task: asyncio.Task[Any]) -> None:
    """Raise what a task raised, where the loop hears it: as of any callback."""
    if not task.cancelled():
        task.result()
