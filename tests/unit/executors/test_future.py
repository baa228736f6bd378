"""What a driver's future does when it ends."""

import logging
import sys

import pytest

from rhapsody_parsl.executors.future import TaskFuture, complete, fail
from rhapsody_parsl.executors.stream import stream
from rhapsody_parsl.payload import pack_result
from rhapsody_parsl.wire.messages import RESULT, Result
from rhapsody_parsl.wire.piece_messages import More, Piece


class Nobody:
    def cancel_task(self, task: int) -> None: ...

    def say(self, more: More) -> None: ...


@pytest.mark.parametrize("good", [True, False])
def test_a_callback_that_exits_does_not_end_the_thread_of_all_futures(
    good: bool, caplog: pytest.LogCaptureFixture
) -> None:
    future = TaskFuture(1, Nobody())
    future.add_done_callback(lambda _: sys.exit(3))
    if good:
        complete(future, Result(1, RESULT, pack_result(5)))
        assert future.result() == 5
    else:
        fail(future, KeyError("a"))
        assert isinstance(future.exception(), KeyError)
    assert "sys.exit()" in caplog.text


def test_a_reader_that_exits_does_not_either(caplog: pytest.LogCaptureFixture) -> None:
    future, came = TaskFuture(1, Nobody(), streams=True), []

    def reads(piece: int) -> None:
        came.append(piece)
        sys.exit(piece)

    pieces = stream(future, reads)
    with caplog.at_level(logging.ERROR):
        for number in range(3):
            future.tray.put(Piece(1, number, pack_result(number, "piece")))
    fail(future, KeyError("a"))
    assert (came, list(pieces)) == ([0, 1, 2], [])
    assert caplog.text.count("a callback of stream() failed") == 3
