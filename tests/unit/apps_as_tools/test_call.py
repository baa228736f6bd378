"""How an agent's call of an app is waited for."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future
from threading import Event
from typing import Any

import pytest

from rhapsody_parsl import Completed
from rhapsody_parsl.apps_as_tools import call
from rhapsody_parsl.apps_as_tools.call import Call, outcome, read, seen, shown, told, value_of


def ended(value: Any = None, problem: BaseException | None = None) -> "Future[Any]":
    future: Future[Any] = Future()
    if problem:
        future.set_exception(problem)
    else:
        future.set_result(value)
    return future


def double(number: int) -> int:
    return 2 * number


def test_a_function_is_called_as_an_app(threads: None) -> None:
    made = Call(double)
    assert [made(number=number).result(10) for number in range(3)] == [0, 2, 4]


def test_what_has_no_name_for_the_caller_goes_by_position(threads: None) -> None:
    def apart(first: int, second: int = 5, /, third: int = 6) -> list[int]:
        return [first, second, third]

    assert Call(apart).chosen({"third": 1, "second": 2, "first": 3}).result(10) == [3, 2, 1]


def test_what_is_left_out_before_a_position_has_its_default(threads: None) -> None:
    def apart(first: int = 4, second: int = 5, /, third: int = 6) -> list[int]:
        return [first, second, third]

    assert Call(apart).chosen({"second": 2}).result(10) == [4, 2, 6]
    assert Call(apart).chosen({"third": 1}).result(10) == [4, 5, 1]


def test_what_a_program_wrote_is_plain() -> None:
    value = value_of(ended(Completed(3, "words", "", 5, 0, 9)))
    assert (value["returncode"], value["stdout"]) == (3, "words")


def test_a_model_reads_class_message_and_notes() -> None:
    problem = KeyError("no such thing")
    problem.add_note("the last words")
    assert told(problem) == "KeyError: 'no such thing'\nthe last words"


def test_who_waits_is_told_how_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call, "_EVERY", 0.01)
    future: Future[int] = Future()
    told_of: list[float] = []

    async def tell(seconds: float) -> None:
        told_of.append(seconds)
        if len(told_of) == 2:
            future.set_result(7)

    assert asyncio.run(outcome(future, tell)) == 7
    assert len(told_of) == 2


def test_who_is_cancelled_cancels_the_call() -> None:
    future: Future[int] = Future()

    async def leave() -> None:
        waiting = asyncio.create_task(outcome(future))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(leave())
    assert future.cancelled()


def test_a_call_that_another_cancelled_is_an_error_and_does_not_cancel_who_waits() -> None:
    with pytest.raises(CancelledError):  # of concurrent.futures: an Exception
        asyncio.run(outcome(ended(problem=CancelledError())))


def test_a_call_that_ends_when_the_loop_has_ended_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    future: Future[int] = Future()

    async def leave() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await outcome(future)

    future.set_running_or_notify_cancel()  # nobody can cancel it now
    asyncio.run(leave())
    future.set_result(1)
    assert not caplog.records


def test_models_read_numbers_and_not_arrays() -> None:
    numpy = pytest.importorskip("numpy")
    value = {"a": numpy.float64(1.5), "b": (numpy.arange(2), [numpy.zeros((1, 1))])}
    assert shown(value) == {"a": 1.5, "b": ([0, 1], [[[0.0]]])}
    large = numpy.zeros(1001)
    assert shown(large) is large


def test_pieces_of_a_generator_are_what_is_shown(threads: None) -> None:
    def pieces(number: int) -> Iterator[int]:
        yield from range(number)

    future = Call(pieces)(3)
    assert shown(value_of(future), read(pieces, future)) == [0, 1, 2]
    assert read(double, future) is None
    assert shown(None, [4]) == [4]


def test_the_value_of_a_reference_is_waited_for_beside_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    came = Event()

    class Far:
        """A reference to a value that is elsewhere."""

        def result(self) -> bool:
            return came.wait(5)

    async def both() -> Any:
        call_of_a_tool = asyncio.create_task(seen(double, ended([Far()])))
        await asyncio.sleep(0.05)
        came.set()
        return await call_of_a_tool

    monkeypatch.setattr(call, "Ref", Far)
    assert asyncio.run(both()) == [True], "who else is served here waited, too"
