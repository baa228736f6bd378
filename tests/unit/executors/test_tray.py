import logging

import pytest

from rhapsody_parsl.executors.tray import Tray
from rhapsody_parsl.wire.piece_messages import AHEAD, AHEAD_BYTES, More, Piece


class Trial:
    """A tray, what it says, and how often it wakes its reader."""

    def __init__(self) -> None:
        self.said: list[More] = []
        self.woken = 0
        self.tray = Tray(1, self.said.append)

    def wake(self) -> None:
        self.woken += 1

    def give(self, *numbers: int, size: int = 1) -> None:
        for number in numbers:
            self.tray.put(Piece(1, number, bytes([number]) * size))


def test_what_comes_is_taken_in_order_and_the_reader_is_woken() -> None:
    trial = Trial()
    trial.tray.attach(trial.wake)
    trial.give(0, 1, 2)
    assert [trial.tray.take() for _ in range(4)] == [b"\0", b"\1", b"\2", None]
    assert trial.woken == 3


def test_the_producer_hears_of_each_half_of_what_it_may_be_ahead() -> None:
    trial = Trial()
    trial.give(*range(AHEAD))
    while trial.tray.take():
        pass
    assert trial.said == [More(1, half, half) for half in (AHEAD // 2, AHEAD)]


def test_and_of_each_half_of_the_bytes() -> None:
    trial = Trial()
    size = AHEAD_BYTES // 2
    trial.give(0, 1, size=size)
    trial.tray.take()
    assert trial.said == [More(1, 1, size)]


def test_a_try_that_begins_again_is_told_only_to_who_has_read_of_the_one_before() -> None:
    trial = Trial()
    trial.give(0, 1)
    trial.give(0)
    assert (trial.tray.lost, trial.tray.came, trial.tray.take()) == (0, 1, b"\0")
    trial.give(1, 2)
    trial.give(0)
    assert (trial.tray.lost, trial.tray.take()) == (1, None), "nothing of the new try goes to the old reader"
    trial.tray.release()
    assert (trial.tray.lost, trial.tray.take()) == (0, b"\0")


def test_a_closed_one_stops_each_try_at_its_first_piece() -> None:
    trial = Trial()
    trial.tray.close()
    assert trial.said == [], "there is no producer yet"
    trial.give(0, 1)
    trial.give(0)
    assert trial.said == [More(1, 0, 0, stop=True)] * 2
    assert trial.tray.take() is None


def test_closing_drops_what_came() -> None:
    trial = Trial()
    trial.give(0, 1)
    trial.tray.take()
    trial.tray.close()
    assert (len(trial.tray), trial.said) == (0, [More(1, 1, 1, stop=True)])


def test_a_full_one_that_nobody_reads_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        trial = Trial()
        trial.give(*range(AHEAD - 1))
        assert not caplog.messages
        trial.give(AHEAD - 1)
        assert "Read them with rhapsody_parsl.stream(future)" in caplog.text
