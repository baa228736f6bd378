"""A task that waits hears for itself, over a real socket; what a signal's handler raises in it breaks nothing."""

import os
import random
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, as_completed, wait
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rhapsody_parsl.inside.client import Client
from rhapsody_parsl.inside.future import ChildFuture
from rhapsody_parsl.payload import pack_result
from rhapsody_parsl.wire.answers import answer
from rhapsody_parsl.wire.channel import Spoke
from rhapsody_parsl.wire.codec import encode
from rhapsody_parsl.wire.inflow import Inflow, pack
from rhapsody_parsl.wire.messages import RESULT, ChildrenEnded, Message, Recall, Result, Task, Work
from rhapsody_parsl.worker import line, loop
from rhapsody_parsl.worker.inbox import Listener
from rhapsody_parsl.worker.outbox import Outbox


class LeavingListener(Listener):
    """Leaves alone, without its process."""

    def run(self) -> None:
        with suppress(SystemExit):
            super().run()


class Desk:
    """A task's process at work, and the other end of its line; past the pilot its answers come, if they are to."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, past: bool) -> None:
        with socket.socket(socket.AF_UNIX) as door:
            door.bind(str(folder / "hub"))
            door.listen()
            spoke = Spoke(f"ipc://{folder}/hub", "worker")
            self.pilot, _ = door.accept()
        self._inflow = Inflow(self.pilot)
        assert self._inflow.read()[0][0] == b"worker"
        monkeypatch.setattr(loop.Ear, "_leave", lambda _: sys.exit())  # else the tests end with it
        self.inbox = loop.Ear(spoke, Outbox(spoke), None).inbox
        self._spoke, self._listener = spoke, LeavingListener(self.inbox)
        self._listener.start()
        self.client = Client(line.WorkerLine(spoke, self.inbox))
        self.client._parent = 7
        self.past = f"{folder}/{spoke.hear_answers()}.answers" if past else ""
        self.heard_by: list[str] = []
        monkeypatch.setattr(line.Here, "pid", os.getpid())
        monkeypatch.setattr(line.Here, "heard", self._take)
        monkeypatch.setattr(line.Here, "ahead", self.client.take_ahead)
        self.say(Work(1, "call", (), {}, [Task(7, b"", b"")]))
        assert self.inbox.get().run == 1
        self.inbox.begin(1, 7)

    def close(self) -> None:
        """Be gone, as a pilot is: the listener leaves."""
        self.pilot.close()
        self.inbox.listen_soon()
        self._listener.join(20)
        assert not self._listener.is_alive()
        self._spoke.close()

    def _take(self, message: Any) -> None:
        self.heard_by.append(threading.current_thread().name)
        self.client.take(message)

    def say(self, message: Message) -> None:
        self.pilot.sendall(b"".join(bytes(part) for part in pack(encode(message))))

    def submit(self, number: int) -> ChildFuture:
        """Be a task that has submitted another one."""
        future = self.client._futures[number] = ChildFuture(number, self.client, streams=False)
        self.inbox.listen_later()
        return future

    def answer(self, *numbers: int, size: int = 0) -> None:
        results = [Result(number, RESULT, pack_result(bytes(size) or number)) for number in numbers]
        self.say(ChildrenEnded([result for result in results if size or not self._answers_past(result)]))

    def _answers_past(self, result: Result) -> bool:
        told = ChildrenEnded([msgspec.structs.replace(result, told=1)])
        return bool(self.past) and answer(self.past, told)

    def answer_soon(self, *numbers: int) -> None:
        timer = threading.Timer(0.002, self.answer, numbers)
        timer.daemon = True
        timer.start()


@pytest.fixture(params=[False, True], ids=["by the pilot", "past the pilot"])
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Desk]:
    made = Desk(tmp_path, monkeypatch, request.param)
    yield made
    made.close()


class InterruptedWaitError(Exception):
    """A handler's."""


class Shots:
    """Signals for the main thread, again and again, and what it does then."""

    def __init__(self) -> None:
        self.armed, self._over = False, threading.Event()
        self._thread = threading.Thread(target=self._shoot, args=[threading.main_thread().ident])
        self._before: Any = None

    def start(self, handler: Callable[[], None]) -> None:
        self._before = signal.signal(signal.SIGUSR1, lambda *_: self._hit(handler))
        self._thread.start()

    def _hit(self, handler: Callable[[], None]) -> None:
        if self.armed:
            self.armed = False
            handler()

    def _shoot(self, target: int) -> None:
        dice = random.Random(1)  # noqa: S311 - no secret
        while not self._over.wait(dice.random() * 3e-4):
            signal.pthread_kill(target, signal.SIGUSR1)

    def stop(self) -> None:
        self._over.set()
        self._thread.join()
        signal.signal(signal.SIGUSR1, self._before)


@pytest.fixture
def shots() -> Iterator[Shots]:
    made = Shots()
    yield made
    made.stop()


def test_a_task_that_waits_again_and_again_hears_its_answers(desk: Desk) -> None:
    for number in range(1, 101):
        future = desk.submit(number)
        desk.answer(number)
        assert future.result() == number
    assert len(desk.heard_by) < 60, "the listener took the first, and what a busy machine left to it"
    assert not desk.client._futures


def test_what_a_handler_raises_loses_and_doubles_nothing(desk: Desk, shots: Shots) -> None:
    def interrupt() -> None:
        raise InterruptedWaitError

    shots.start(interrupt)
    interruptions = 0
    for number in range(1, 40_001):
        if interruptions > 20:
            break  # a quiet machine takes many more turns to be hit so often
        future = desk.submit(number)
        desk.answer(number)
        while True:
            try:
                shots.armed = True
                assert future.result() == number
                shots.armed = False
                break
            except InterruptedWaitError:
                interruptions += 1
    assert interruptions > 20
    assert not desk.client._futures


def test_a_handler_may_wait_for_a_task_itself(desk: Desk, shots: Shots) -> None:
    own = {number: desk.submit(number) for number in range(1, 20_201)}
    left = list(range(20_001, 20_201))

    def ask() -> None:
        if left:
            number = left.pop()
            desk.answer(number)
            assert own[number].result() == number

    shots.start(ask)
    for number in range(1, 20_001):
        if len(left) < 180:
            break
        shots.armed = True
        desk.answer(number)
        assert own[number].result() == number
        shots.armed = False
    assert len(left) < 180


def test_all_threads_of_a_task_hear_of_theirs(desk: Desk) -> None:
    futures = [desk.submit(number) for number in range(1, 201)]
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda part=part: found.extend(f.result() for f in futures[part::4]))
        for part in range(1, 4)
    ]
    for thread in threads:
        thread.start()
    for number in reversed(range(1, 201)):
        desk.answer(number)
    assert [future.result() for future in futures[0::4]] == list(range(1, 201, 4))
    for thread in threads:
        thread.join(30)
    assert len(found) == 150


def test_other_ways_to_wait_are_served_too(desk: Desk) -> None:
    for turn in range(20):
        first, second, third, fourth = (desk.submit(4 * turn + each) for each in range(1, 5))
        called: Future[str] = Future()
        third.add_done_callback(lambda _, called=called: called.set_result(threading.current_thread().name))  # type: ignore[misc]  # bound for this turn
        desk.answer(first.number)
        assert first.result() == first.number
        desk.answer_soon(second.number, third.number)
        assert not wait([second], 20).not_done
        assert called.result(20) == "listener", "callbacks run where they may submit"
        desk.answer_soon(fourth.number)
        assert next(as_completed([fourth], 20)).result(20) == fourth.number


def test_the_pilot_is_heard_while_a_task_waits(desk: Desk) -> None:
    first = desk.submit(1)
    desk.answer(1)
    assert first.result() == 1
    second, large = desk.submit(2), desk.submit(3)
    desk.say(Recall(1, [99]))
    desk.answer_soon(2)
    assert second.result() == 2
    assert b"\x00" not in desk._inflow.read()[0][0][:1], "it has given back what had not begun"
    threading.Timer(0.002, desk.answer, (3,), {"size": 100_000}).start()
    assert len(large.result()) == 100_000


def test_a_child_that_was_forked_takes_nothing_of_its_parents(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    first = desk.submit(1)
    monkeypatch.setattr(line.Here, "pid", os.getpid() + 1)
    monkeypatch.setattr(desk.inbox, "_ahead", lambda: pytest.fail("it has looked"))
    desk.answer(1)
    assert first.result() == 1, "the listener is there in this test"
