import threading
from collections.abc import Generator

import pytest

from rhapsody_parsl.wire.piece_messages import AHEAD, AHEAD_BYTES, More
from rhapsody_parsl.worker.flow import Flow
from rhapsody_parsl.worker.outlet import Outlet, drained


def sent(count: int, size: int = 1) -> Flow:
    flow = Flow()
    assert [flow.count(size) for _ in range(count)] == list(range(count))
    return flow


@pytest.mark.parametrize(
    ("count", "size", "full"),
    [(AHEAD - 1, 1, False), (AHEAD, 1, True), (1, 2 * AHEAD_BYTES, False), (2, AHEAD_BYTES // 2, True), (0, 0, False)],
)
def test_a_producer_waits_for_pieces_or_for_bytes_but_never_with_less_than_two(
    count: int, size: int, full: bool
) -> None:
    assert sent(count, size).is_full is full


def test_what_is_said_twice_or_of_an_earlier_try_counts_once() -> None:
    flow = sent(AHEAD)
    said = [(5 * AHEAD, 1 << 60), (AHEAD, AHEAD), (AHEAD + 1, AHEAD + 1)]  # the first of a try that had given more
    full = []
    for taken, size in said:
        flow.more(More(1, taken, size))
        full.append(flow.is_full)
        for _ in range(AHEAD if taken > 2 * AHEAD else 0):
            flow.count(1)
    assert full == [False, True, False]


def test_one_that_waits_is_woken_by_the_next_word_and_no_other_is() -> None:
    flow, woken = sent(AHEAD), threading.Event()
    waiting = threading.Thread(target=lambda: woken.set() if flow.wait() else None)
    waiting.start()
    assert not woken.wait(0.05)
    flow.more(More(1, 1, 1))
    assert woken.wait(10)
    waiting.join()
    assert not flow.on_word(lambda: None), "there is room"


def test_a_reader_that_leaves_ends_the_wait() -> None:
    flow = sent(AHEAD)
    flow.more(More(1, 0, 0, stop=True))
    assert not flow.wait()


def test_a_generator_is_closed_whatever_happens_and_its_flow_forgotten() -> None:
    flows: dict[int, Flow] = {}
    said: list[str] = []

    def numbers() -> Generator[int, None, None]:
        try:
            yield 1
            flows[7].more(More(7, 0, 0, stop=True))
            yield 2
            yield 3
        finally:
            said.append("closed")

    got: list[int] = []
    outlet = Outlet(7, lambda piece: got.append(piece.number), flows)
    assert drained(numbers(), outlet) is None
    assert (got, said, flows) == ([0, 1], ["closed"], {})


def test_pieces_that_nobody_is_to_have_are_dropped_and_not_counted() -> None:
    flows: dict[int, Flow] = {}

    def numbers() -> Generator[int, None, str]:
        yield from range(3 * AHEAD)
        return "all"

    assert drained(numbers(), Outlet(1, None, flows)) == "all"
