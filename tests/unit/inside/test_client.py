"""A process's conversation with the pilot, with a line that the test answers."""

import pickle
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from typing import Any

import msgspec
import pytest

from rhapsody_parsl import annotate, stream
from rhapsody_parsl.errors import InvalidTask, NoParent, TooDeep, TooManyChildren
from rhapsody_parsl.inside.client import Client
from rhapsody_parsl.inside.executor import BlockExecutor
from rhapsody_parsl.inside.functions import asked, asked_for_agent
from rhapsody_parsl.inside.future import ChildFuture
from rhapsody_parsl.payload import open_call, pack_result
from rhapsody_parsl.wire.child_messages import AskChild, CancelChildren, ChildAnswer
from rhapsody_parsl.wire.messages import RESULT, ChildrenEnded, Result, SubmitChildren, failed
from rhapsody_parsl.wire.piece_messages import ChildMore, ChildPieces, Piece
from rhapsody_parsl.wire.turn_messages import LendCores, TakeCores


def double(number: int) -> int:
    return 2 * number


class FakeLine:
    """Answers at once what is asked; runs what is submitted when told to."""

    def __init__(self, name: str = "", **answer: Any) -> None:
        self.now, self.name, self.answer = 7, name, {"most": 9, **answer}
        self.sent: list[Any] = []
        self.client = Client(self)

    def task(self) -> int:
        return self.now

    def send(self, message: Any) -> None:
        self.sent.append(message)
        if isinstance(message, AskChild):
            self.client.take(ChildAnswer(message.order, b"admitted", **self.answer))
        elif isinstance(message, LendCores):
            self.run()
        elif isinstance(message, TakeCores):
            self.client.take(ChildAnswer(message.order))

    post = send

    def hear_answers(self) -> str:
        return self.name

    def listen(self) -> None: ...

    listen_later = listen

    def waiting_for(self, _awaited: Any) -> Any:
        return nullcontext()

    def hear(self) -> bool:
        return False

    def run(self) -> None:
        for message in [one for one in self.sent if isinstance(one, SubmitChildren)]:
            self.sent.remove(message)
            self.client.take(ChildrenEnded([made(task.id, task.payload) for task in message.tasks]))

    def submit(self, number: int = 1, *, parent: int = 7, keep: bool = False) -> ChildFuture:
        spec = asked(double, None)
        return self.client.submit(parent, spec, double, args=(number,), kwargs={}, keep=keep)

    def kinds(self) -> list[str]:
        return [type(message).__name__ for message in self.sent]


def made(number: int, payload: Any) -> Result:
    function, args, kwargs = open_call(payload)
    return Result(number, RESULT, pack_result(function(*args, **kwargs)))


def test_a_callback_that_exits_does_not_end_the_thread_that_listens(caplog: pytest.LogCaptureFixture) -> None:
    line = FakeLine()
    first, second = line.submit(1), line.submit(2)
    first.add_done_callback(lambda _: sys.exit(3))
    line.run()
    assert (first.result(), second.result()) == (2, 4)
    assert "sys.exit()" in caplog.text


def test_a_specification_is_asked_once_and_results_find_their_futures() -> None:
    line = FakeLine()
    futures = [line.submit(number) for number in range(3)]
    assert line.kinds() == ["AskChild"] + 3 * ["SubmitChildren"]
    line.run()
    assert [future.result() for future in reversed(futures)] == [4, 2, 0]
    last = line.submit(5)
    line.run()
    assert last.exception() is None
    line.submit(5, keep=True)
    assert line.kinds() == ["AskChild", "AskChild", "SubmitChildren"]
    assert line.sent[-1].keep


def test_a_refusal_is_the_pilots_error_and_is_asked_again() -> None:
    line = FakeLine(error="TooDeep", facts=(3,))
    for _ in range(2):
        with pytest.raises(TooDeep, match="max_depth=3"):
            line.submit()
    assert line.kinds() == ["AskChild", "AskChild"]


def test_the_number_is_bounded() -> None:
    line = FakeLine(most=2)
    line.submit(), line.submit()
    with pytest.raises(TooManyChildren, match="max_children=2"):
        line.submit()
    line.run()
    line.submit()


def test_what_is_cancelled_is_told_once_and_its_result_is_nobodys() -> None:
    line = FakeLine()
    future = line.submit()
    assert future.cancel()
    assert future.cancel()
    assert line.sent[-1] == CancelChildren([future.number])
    assert line.kinds().count("CancelChildren") == 1
    line.run()
    with pytest.raises(CancelledError):
        future.result()


def test_an_error_of_ours_is_raised() -> None:
    line = FakeLine()
    future = line.submit()
    line.client.take(ChildrenEnded([failed(future.number, TooDeep(1))]))
    with pytest.raises(TooDeep):
        future.result()


def test_the_next_task_of_a_process_inherits_nothing() -> None:
    line = FakeLine()
    left = line.submit()
    line.now = 8
    line.submit(parent=8)
    assert left.cancelled()
    assert line.kinds() == ["AskChild", "SubmitChildren", "AskChild", "SubmitChildren"], "nobody is told"
    with pytest.raises(NoParent):
        line.submit(parent=7)
    line.now = 0
    with pytest.raises(NoParent):
        line.submit(parent=8)


def test_answers_that_nobody_waits_for_are_passed_over() -> None:
    line = FakeLine()
    line.client.take(ChildrenEnded([Result(99, RESULT, b"")]))
    line.client.take(ChildAnswer(99))
    assert msgspec.structs.asdict(ChildAnswer(99))["most"] == 0


def test_who_lends_does_so_only_while_it_waits_for_long() -> None:
    line = FakeLine(lends=True)
    assert line.submit(4).result() == 8
    assert line.kinds() == ["AskChild", "LendCores", "TakeCores"]
    done = line.submit(5)
    line.run()
    assert (done.result(), done.exception()) == (10, None)
    assert line.kinds() == ["AskChild", "LendCores", "TakeCores"], "it is there already"
    left = line.submit(6)
    with ThreadPoolExecutor(1) as another, pytest.raises(TimeoutError):
        another.submit(left.result, 0.02).result()
    assert line.kinds().count("LendCores") == 1, "the task's main thread computes"


def test_who_gives_up_waiting_has_its_turn_first() -> None:
    line = FakeLine(lends=True)
    future = line.submit()
    line.run = list  # type: ignore[assignment, method-assign]  # its child never ends
    with pytest.raises(TimeoutError):
        future.result(0.02)
    assert line.kinds()[-2:] == ["LendCores", "TakeCores"]


def test_a_turn_that_can_never_come_is_none() -> None:
    line = FakeLine(lends=True)
    line.submit(1)
    orders: list[int] = []

    def send(message: Any) -> None:
        if isinstance(message, TakeCores):
            orders.append(message.order)
            line.client.take(ChildrenEnded([failed(message.order, TooDeep(1))]))

    line.send = send  # type: ignore[method-assign]  # its pilot refuses
    with line.client.waiting([Future()]):
        pass
    assert len(orders) == 1


def test_pieces_find_their_futures_and_the_reader_is_heard() -> None:
    line = FakeLine()
    future = line.submit()
    pieces = stream(future)
    line.client.take(ChildPieces([Piece(future.number, 0, pack_result("a")), Piece(99, 0, pack_result("b"))]))
    assert next(pieces) == "a"
    pieces.close()
    assert line.sent[-1] == ChildMore(future.number, 1, len(pack_result("a")), stop=True)
    assert len(future.tray) == 0


def test_whether_a_call_gives_pieces_is_known_when_it_is_submitted() -> None:
    class Counter:
        def __call__(self) -> Iterator[int]:
            yield 1

    def counted() -> Iterator[int]:
        yield 1

    functions: list[Any] = [
        double,
        counted,
        partial(counted),
        Counter(),
        annotate({"service": "m", "stream": True})(double),
    ]
    assert [asked(function, None).streams for function in functions] == [False, True, True, True, True]


def test_who_hands_on_the_block_itself_is_told_what_to_do() -> None:
    with pytest.raises(TypeError, match=r"call rhapsody_parsl.block\(\) in the other task"):
        pickle.dumps(object.__new__(BlockExecutor))


@pytest.mark.parametrize("name", [7, None, "", "a\0"])
def test_what_is_no_name_is_refused_here_and_ends_no_conversation(name: Any) -> None:
    line = FakeLine()
    with pytest.raises(InvalidTask, match="label"):
        line.client.find_value(name)
    if name != "":  # which is none
        with pytest.raises(InvalidTask, match="label"):
            line.client.put_value(1, name, pinned=False)
    with pytest.raises(InvalidTask, match="name"):
        asked_for_agent(FakeLine, name, None)
    assert line.sent == []


def told(number: int, seconds: float = 0.5) -> ChildrenEnded:
    return ChildrenEnded([Result(number, RESULT, pack_result(number), seconds, 100.0, told=3)])


def heard(number: int) -> Result:
    return Result(number, RESULT, b"", 0.5, 100.0, told=3)


def test_what_is_heard_past_the_pilot_is_told_with_the_next_task_or_at_the_end() -> None:
    line = FakeLine(name="me")
    first, second, third = (line.submit(number) for number in range(3))
    assert [task.asker for message in line.sent[1:] for task in message.tasks] == [("me", 1 + n) for n in range(1, 4)]
    for future in (first, second):
        line.client.take(told(future.number))
    line.client.take(told(first.number))
    line.client.take(ChildrenEnded([Result(third.number, RESULT, pack_result(3))]))
    assert (first.result(), second.result(), third.result()) == (first.number, second.number, 3)
    line.submit()
    assert line.sent[-1].heard == (heard(first.number), heard(second.number)), "each once"
    last = line.submit()
    assert line.sent[-1].heard == ()
    line.client.take_ahead(told(last.number))
    line.client.over()
    assert line.sent[-1] == SubmitChildren(7, [], heard=(heard(last.number),))
    count = len(line.sent)
    line.client.over()
    assert len(line.sent) == count


def test_who_only_waits_keeps_few_of_what_it_has_heard() -> None:
    line = FakeLine(name="me", most=1000)
    for future in [line.submit() for _ in range(500)]:
        line.client.take(told(future.number))
    line.client.over()
    assert len(line.sent[-1].heard) < 100
    assert line.sent[-1].heard[-1].id > 500, "the last ones"


def test_an_answer_to_a_task_that_is_over_is_nobodys() -> None:
    line = FakeLine(name="me")
    future = line.submit(keep=True)
    line.now = 0
    line.client.take(told(future.number))
    assert not future.done()


def test_without_a_name_all_answers_come_by_the_pilot() -> None:
    line = FakeLine()
    line.submit()
    assert line.sent[-1].tasks[0].asker is None


@pytest.mark.timeout(10)
def test_who_is_interrupted_on_its_way_to_wait_misses_nothing() -> None:
    class Interrupted(threading.Condition):
        """Has a signal's handler hear of the end before its user waits."""

        def wait(self, timeout: float | None = None) -> bool:
            future.take(3)
            return super().wait(timeout)

    future = FakeLine().submit()
    future._condition = Interrupted()
    assert future.result() == 3
