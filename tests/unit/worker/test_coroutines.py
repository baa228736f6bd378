import asyncio
import contextvars
import os
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from parsl.app.errors import AppTimeout

from rhapsody_parsl.payload import open_result, pack_call
from rhapsody_parsl.raised.revival import revive
from rhapsody_parsl.wire.messages import RESULT
from rhapsody_parsl.worker.call import call
from rhapsody_parsl.worker.coroutines import awaited
from rhapsody_parsl.worker.footing import descriptors

word = contextvars.ContextVar("word", default="none")


async def loop_of_it() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


async def leaves(cleanly: bool) -> "asyncio.Task[None]":
    async def runs_on() -> None:
        while True:
            try:
                await asyncio.sleep(100)
            except asyncio.CancelledError:
                if cleanly:
                    raise

    task = asyncio.create_task(runs_on())
    await asyncio.sleep(0)
    return task


async def double(number: int) -> int:
    await asyncio.sleep(0)
    return 2 * number


async def fails() -> None:
    await asyncio.sleep(0)
    raise KeyError("here")


async def never() -> None:
    await asyncio.sleep(100)


async def times_out_itself() -> None:
    async with asyncio.timeout(0):
        await asyncio.sleep(100)


async def says_and_sets() -> str:
    before = word.get()
    word.set("said")
    return before


def test_a_coroutine_function_gives_what_it_returns_or_raises() -> None:
    result = call(3, pack_call(double, (21,), {}))
    assert (result.kind, open_result(result.payload)) == (RESULT, 42)  # type: ignore[arg-type]  # bytes
    error = revive(call(3, pack_call(fails, (), {})).payload)  # type: ignore[arg-type]  # bytes
    assert isinstance(error, KeyError)


def test_the_loop_stays_and_what_is_left_on_it_does_not() -> None:
    loop = awaited(loop_of_it())
    assert awaited(leaves(cleanly=True)).cancelled()
    assert awaited(loop_of_it()) is loop


@pytest.mark.filterwarnings("ignore:unclosed event loop")
def test_who_will_not_be_cancelled_never_runs_again() -> None:
    loop = awaited(loop_of_it())
    assert not awaited(leaves(cleanly=False)).done()
    assert awaited(loop_of_it()) is not loop


def test_a_closed_loop_is_replaced() -> None:
    awaited(loop_of_it()).close()
    assert awaited(double(1)) == 2


def test_context_variables_are_each_calls_own() -> None:
    assert [awaited(says_and_sets()) for _ in range(2)] == ["none", "none"]


@pytest.mark.parametrize(("function", "kind"), [(never, AppTimeout), (times_out_itself, TimeoutError)])
def test_walltime(function: Callable[[], Coroutine[Any, Any, None]], kind: type[Exception]) -> None:
    with pytest.raises(kind):
        awaited(function(), 0.01 if function is never else 30)


def test_a_child_forked_beside_the_loop_has_none_of_it() -> None:
    awaited(loop_of_it()).close()
    before = set(descriptors())
    awaited(loop_of_it())
    ours = set(descriptors()) - before
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        os.write(write, str(sorted(ours & set(descriptors()))).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as said:
        assert ours
        assert said.read() == "[]"
    os.waitpid(child, 0)
