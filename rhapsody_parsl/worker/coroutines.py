"""Awaits what `async def` apps return and yield, on one event loop per process.

The loop stays from one app to the next, so that a client kept in a module keeps its connections. What an app left
running on it is cancelled, as `asyncio.run` does.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextvars import copy_context
from typing import Any

from rhapsody_parsl.payload import open_call
from rhapsody_parsl.worker.flow import Flow
from rhapsody_parsl.worker.footing import close_own, descriptors
from rhapsody_parsl.worker.outlet import Outlet

__all__ = ("awaited", "awaited_call", "drained_async", "is_timed")

_TIMED = "timeout.<locals>.wrapper"
"""What Parsl puts around a Python app with `walltime`: it sees how long a coroutine takes to be made."""
_SETTLE = 1.0
"""Seconds for what is cancelled; what then still runs never does again, for the next app gets another loop."""


class _Loop:
    """That of this process."""

    runner: asyncio.Runner | None = None


def awaited(coroutine: Coroutine[Any, Any, Any], seconds: float | None = None) -> Any:
    """Return what a coroutine returns.

    Args:
        coroutine: Not yet begun.
        seconds: Parsl's `walltime`, which its decorator cannot hold a coroutine to.

    Raises:
        BaseException: Whatever the coroutine raises; Parsl's `AppTimeout` after its walltime.
    """
    own, runner = os.getpid(), _runner()
    try:
        return runner.run(coroutine if seconds is None else _within(coroutine, seconds), context=copy_context())
    finally:
        if os.getpid() == own:  # else a child that the app forked, which shares the parent's selector
            _cancel_what_is_left(runner)


async def awaited_call(payload: bytes | memoryview, outlet: Outlet) -> Any:
    """Open a call that gives a coroutine or an asynchronous generator, and return what becomes of that.

    Args:
        payload: The call.
        outlet: Where pieces go.

    Raises:
        BaseException: Whatever the call raises.
    """
    function, args, kwargs = open_call(payload)
    value = function(*args, **kwargs)
    if isinstance(value, AsyncGenerator):
        return await drained_async(value, outlet)
    seconds = kwargs.get("walltime") if is_timed(function) else None
    return await (value if seconds is None else _within(value, seconds))


async def drained_async(pieces: AsyncGenerator[Any, Any], outlet: Outlet) -> None:
    """Send what an asynchronous generator yields, until its end or its reader's.

    Args:
        pieces: Not yet begun.
        outlet: The task's.

    Raises:
        BaseException: Whatever it raises.
        PayloadError: A piece cannot be pickled.
    """
    with outlet.opened() as flow:
        try:
            while flow.agree(await _room(flow)):
                try:
                    value = await anext(pieces)
                except StopAsyncIteration:
                    break
                outlet.put(value, flow)
        finally:
            await pieces.aclose()
        flow.over()


async def _room(flow: Flow) -> bool:
    """Wait for room, while the rest of the loop goes on; return whether more pieces are wanted."""
    loop, word = asyncio.get_running_loop(), asyncio.Event()
    while flow.on_word(lambda: loop.call_soon_threadsafe(word.set)):
        await word.wait()
        word.clear()
    return not flow.stopped


def is_timed(function: Callable[..., Any]) -> bool:
    """Whether Parsl is to hold a function to the walltime among its arguments."""
    return getattr(getattr(function, "__code__", None), "co_qualname", "") == _TIMED


def _runner() -> asyncio.Runner:
    if _Loop.runner is None or _Loop.runner.get_loop().is_closed():
        _Loop.runner = asyncio.Runner(loop_factory=_new_loop)
    return _Loop.runner


def _new_loop() -> asyncio.AbstractEventLoop:
    """Make a loop whose descriptors no child gets that is forked while it does not run."""
    before = descriptors()
    loop = asyncio.new_event_loop()
    made = {number: known for number, known in descriptors().items() if number not in before}
    os.register_at_fork(after_in_child=lambda: None if loop.is_running() else close_own(made))
    return loop


async def _within(coroutine: Coroutine[Any, Any, Any], seconds: float) -> Any:
    from parsl.app.errors import AppTimeout  # noqa: PLC0415 - it is loaded: the call came through Parsl's decorator

    scope = asyncio.timeout(seconds)
    try:
        async with scope:
            return await coroutine
    except TimeoutError:
        if scope.expired():
            raise AppTimeout(f"The app exceeded its walltime of {seconds:g} s") from None
        raise


def _cancel_what_is_left(runner: asyncio.Runner) -> None:
    loop = runner.get_loop()
    if left := asyncio.all_tasks(loop):
        for task in left:
            task.cancel()
        _, deaf = loop.run_until_complete(asyncio.wait(left, timeout=_SETTLE))
        if deaf:
            _Loop.runner = None
