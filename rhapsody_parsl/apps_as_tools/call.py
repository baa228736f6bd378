"""An agent's call of an app: it is made where there is a block, waited for, and stopped when nobody wants it."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

import msgspec

from rhapsody_parsl.apps_as_tools.signature import function_of, is_app, is_bash, placed
from rhapsody_parsl.data.reference import Ref
from rhapsody_parsl.executors.cancelling import cancel
from rhapsody_parsl.executors.stream import stream
from rhapsody_parsl.function_kinds import gives_pieces
from rhapsody_parsl.inside.executor import block
from rhapsody_parsl.programs import Completed
from rhapsody_parsl.telling import notes_of, said
from rhapsody_parsl.worker.line import line

__all__ = ("Call", "outcome", "read", "seen", "shown", "told", "value_of")

_EVERY = 1.0
"""Seconds between two words of progress."""
_MOST_NUMBERS = 1_000
"""Of an array that a model is shown as numbers; of a larger one it is told what Python prints."""
_ARRAYS = ("numpy", "torch")


class Call:
    """Calls an app, or a function as one: inside a task the task's block runs it, elsewhere the loaded executors.

    Args:
        app: An app of Parsl's or a function, annotated or not.
    """

    def __init__(self, app: Any) -> None:
        self._app = app

    def __call__(self, *args: Any, **kwargs: Any) -> "Future[Any]":
        """Submit a call."""
        if line() is not None and not is_bash(self._app):
            return block().submit(function_of(self._app), *args, **kwargs)
        if not is_app(self._app):
            from parsl import python_app  # noqa: PLC0415 - a task that has a block need not load it

            self._app = python_app(self._app)
        future: Future[Any] = self._app(*args, **kwargs)
        return future

    def chosen(self, arguments: Mapping[str, Any]) -> "Future[Any]":
        """Submit a call with what a model has chosen."""
        args, kwargs = placed(self._app, arguments)
        return self(*args, **kwargs)


async def outcome(future: "Future[Any]", tell: Callable[[float], Awaitable[None]] | None = None) -> Any:
    """Wait for a call and return its value; stop the task when the one who waits is cancelled.

    Args:
        future: The call's.
        tell: Awaited every second with the seconds that it has taken.

    Raises:
        BaseException: Whatever the call raises.
    """
    began, ended = time.monotonic(), _ended(future)
    try:
        while not future.done():
            with suppress(TimeoutError):
                async with asyncio.timeout(_EVERY if tell else None):
                    await ended.wait()
                    break
            if tell:
                await tell(round(time.monotonic() - began, 1))
    except asyncio.CancelledError:
        cancel(future)
        raise
    return value_of(future)


async def seen(app: Any, future: "Future[Any]", tell: Callable[[float], Awaitable[None]] | None = None) -> Any:
    """Wait for a call and return what a model reads of it.

    Args:
        app: An app, or a function.
        future: The call's.
        tell: As for `outcome`.

    Raises:
        BaseException: Whatever the call raises.
        DataLost: The value of a reference is gone.
    """
    pieces = read(app, future)
    value = await outcome(future, tell)
    return await asyncio.to_thread(shown, value, pieces)  # the value of a reference may have to come from elsewhere


def _ended(future: "Future[Any]") -> asyncio.Event:
    """Return what is set, on this loop, when a future is done."""
    loop, event = asyncio.get_running_loop(), asyncio.Event()

    def tell(_: object) -> None:
        with suppress(RuntimeError):  # the loop has ended, and nobody waits
            loop.call_soon_threadsafe(event.set)

    future.add_done_callback(tell)
    return event


def value_of(future: "Future[Any]") -> Any:
    """Wait for a call and return its value; what a program wrote as a dict.

    Raises:
        BaseException: Whatever the call raises.
    """
    value = future.result()
    return msgspec.structs.asdict(value) if isinstance(value, Completed) else value


def read(app: Any, future: "Future[Any]") -> list[Any] | None:
    """Have the pieces of a call read, for a generator that nobody reads waits; None where it gives none.

    Args:
        app: An app, or a function.
        future: The call's. Once it is done, the list has all pieces.
    """
    if not gives_pieces(function_of(app)):
        return None
    pieces: list[Any] = []
    stream(future, pieces.append)
    return pieces


def shown(value: Any, pieces: list[Any] | None = None) -> Any:
    """Return what a model reads of a value: that of a reference, and small arrays as numbers, in lists and dicts too.

    Args:
        value: What the call gave.
        pieces: Those of a generator, which are shown instead.

    Raises:
        DataLost: The value of the reference is gone.
    """
    if pieces is not None:  # other executors give the generator itself
        return shown(list(value) if issubclass(type(value), Iterator) else pieces)
    if type(value) is Ref:
        return shown(value.result())
    if type(value) is dict:
        return {key: shown(each) for key, each in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(shown, value))
    return value.tolist() if _is_small_array(value) else value


def _is_small_array(value: Any) -> bool:
    kind = type(value)
    is_array = kind.__module__.partition(".")[0] in _ARRAYS and hasattr(kind, "tolist")
    return is_array and math.prod(value.shape) <= _MOST_NUMBERS


def told(problem: BaseException) -> str:
    """Return what a call raised, for a model to read: its notes have the last words of programs."""
    return "\n".join([said(problem), *notes_of(problem)])
