"""Two ends of the streams of a line; what is between them is a list of messages that the test carries over."""

from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rhapsody_parsl.wire.door import TunnelCredit, TunnelData, TunnelEnd, Tunnelled, TunnelOpen
from rhapsody_parsl.wire.streams import LINE_WINDOW, PIECE, WINDOW, Streams


class Reader:
    """An end that takes what comes at once, or not before it is told to."""

    def __init__(self, streams: Streams, number: int, slow: bool = False) -> None:
        self.streams, self.number, self.slow = streams, number, slow
        self.got, self.untaken, self.drains, self.over = b"", 0, 0, False
        streams.add(number, self)

    def deliver(self, data: bytes) -> None:
        self.got += data
        self.untaken += len(data)
        if not self.slow:
            self.take()

    def take(self) -> None:
        untaken, self.untaken = self.untaken, 0
        self.streams.consumed(self.number, untaken)

    def drained(self) -> None:
        self.drains += 1

    def ended(self) -> None:
        self.over = True


class Line:
    """Two ends, and what is on the way between them."""

    def __init__(self) -> None:
        self.there, self.back = deque[Tunnelled](), deque[Tunnelled]()
        self.near, self.far = Streams(self.there.append), Streams(self.back.append)

    def carry(self) -> None:
        while self.there or self.back:
            if self.there:
                self.far.receive(self.there.popleft())
            if self.back:
                self.near.receive(self.back.popleft())

    @property
    def on_the_way(self) -> int:
        return sum(len(message.data) for message in self.there if isinstance(message, TunnelData))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 3), st.binary(min_size=1, max_size=5), st.integers(1, 40_000)), max_size=30))
def test_what_is_written_comes_in_order_whole_and_apart(written: list[tuple[int, bytes, int]]) -> None:
    line = Line()
    readers = {number: Reader(line.far, number) for number in (1, 2, 3)}
    for number in readers:
        Reader(line.near, number)
    wanted = dict.fromkeys(readers, b"")
    for number, data, times in written:
        line.near.write(number, data * times)
        wanted[number] += data * times
        if times % 2:
            line.carry()
    for number in readers:
        line.near.finish(number)
    line.carry()
    assert {number: reader.got for number, reader in readers.items()} == wanted
    assert all(reader.over for reader in readers.values())
    assert len(line.near) == len(line.far) == 0


def test_a_slow_reader_holds_up_its_own_stream_alone() -> None:
    line = Line()
    slow, quick = Reader(line.far, 1, slow=True), Reader(line.far, 2)
    writer = Reader(line.near, 1)
    Reader(line.near, 2)
    assert not line.near.write(1, b"s" * 4 * WINDOW)
    assert not line.near.write(2, b"q" * 4 * WINDOW)
    line.carry()
    assert len(slow.got) == WINDOW
    assert len(quick.got) == 4 * WINDOW
    assert writer.drains == 0, "it must not write more"
    while len(slow.got) < 4 * WINDOW:
        before = len(slow.got)
        slow.take()
        line.carry()
        assert len(slow.got) - before <= WINDOW
    assert writer.drains == 1


def test_whatever_else_is_sent_waits_behind_a_bounded_number_of_bytes() -> None:
    line = Line()
    for number in range(1, 101):
        Reader(line.near, number)
        line.near.write(number, b"x" * WINDOW)
    assert line.on_the_way == LINE_WINDOW
    assert all(len(message.data) <= PIECE for message in line.there if isinstance(message, TunnelData))
    line.there.clear()
    line.near.receive(TunnelCredit(0, 8 * PIECE))
    assert [message.stream for message in line.there] == list(range(3, 11)), "they take turns"


def test_the_credit_of_the_line_comes_back_for_streams_that_have_ended_too() -> None:
    line = Line()
    Reader(line.near, 1)
    for _ in range(8):
        line.near.write(1, b"x" * WINDOW)
        line.carry()
    assert line.on_the_way == 0, "nobody reads at the other end, and nobody waits for it"
    Reader(line.near, 2)
    reader = Reader(line.far, 2)
    line.near.write(2, b"y")
    line.carry()
    assert reader.got == b"y"


def test_an_end_waits_for_what_was_written_and_a_break_does_not() -> None:
    line = Line()
    reader, other = Reader(line.far, 1), Reader(line.far, 2)
    Reader(line.near, 1)
    Reader(line.near, 2)
    for number in (1, 2):
        line.near.write(number, b"x" * 2 * WINDOW)
    line.near.finish(1)
    line.near.abandon(2)
    line.near.abandon(2)
    assert [message for message in line.there if isinstance(message, TunnelEnd)] == [TunnelEnd(2)]
    line.carry()
    assert (len(reader.got), reader.over) == (2 * WINDOW, True)
    assert len(other.got) < WINDOW + PIECE
    assert other.over


@pytest.mark.parametrize("message", [TunnelData(7, b"late"), TunnelCredit(7, 5), TunnelEnd(7), TunnelOpen(7)])
def test_what_is_said_of_a_stream_that_has_ended_is_passed_over(message: Tunnelled) -> None:
    line = Line()
    line.near.receive(message)
    line.near.write(7, b"x")
    line.near.consumed(7, 9)
    line.near.finish(7)
    assert not line.there


def test_when_the_line_is_gone_all_streams_end_once() -> None:
    line = Line()
    readers = [Reader(line.near, number) for number in (1, 2)]
    line.near.end_all()
    assert [reader.over for reader in readers] == [True, True]
    assert not line.there
