"""Who receives: the main thread while it is free, the listener while it is not; and no work is ever left lying."""

import queue
import random
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from rhapsody_parsl.wire.messages import Task, Work
from rhapsody_parsl.worker.inbox import Inbox, Listener
from testing.waiting import until


class Pilot:
    """What a pilot sends, and who takes it."""

    def __init__(self) -> None:
        self.sent: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self.takers: list[str] = []
        self.together = False
        self._ears = threading.Lock()
        self.inbox = Inbox(self._hear)
        Listener(self.inbox).start()

    def _hear(self) -> None:
        self.together |= not self._ears.acquire(blocking=False)
        try:
            work = self.sent.get(timeout=20)
        finally:
            with suppress(RuntimeError):  # two were here
                self._ears.release()
        if work is None:
            threading.Event().wait()  # the listener, which would else fail in the middle of another test
            return
        self.takers.append(threading.current_thread().name)
        self.inbox.put(work)


def work(number: int) -> Work:
    return Work(number, "call", (), {}, [Task(number, b"", b"")])


@pytest.fixture
def pilot() -> Iterator[Pilot]:
    made = Pilot()
    yield made
    made.sent.put(None)


def test_the_main_thread_receives_for_itself(pilot: Pilot) -> None:
    for number in range(100):
        pilot.sent.put(work(number))
        assert pilot.inbox.get().run == number
    assert set(pilot.takers) == {threading.current_thread().name}


def test_the_listener_hears_during_a_long_task_and_gives_back(pilot: Pilot) -> None:
    pilot.sent.put(work(0))
    pilot.inbox.get()
    pilot.sent.put(work(1))
    until(lambda: len(pilot.takers) == 2, 10)
    assert pilot.takers[1] == "listener"
    assert pilot.inbox.recall(1, [1]) == ([1], False)
    pilot.inbox.get()  # what was queued meanwhile
    pilot.sent.put(work(2))
    assert pilot.inbox.get().run == 2
    for number in (3, 4, 5):
        pilot.sent.put(work(number))
        assert pilot.inbox.get().run == number
    assert pilot.takers[-1] == threading.current_thread().name


def test_all_work_is_done_in_order_whoever_receives(pilot: Pilot) -> None:
    """Short and long tasks, and gaps that meet the change of who receives."""
    dice = random.Random(0)  # noqa: S311 - no secret
    total = 600

    def send() -> None:
        for number in range(total):
            pilot.sent.put(work(number))
            time.sleep(dice.choice((0, 0, 0.0001, 0.002, 0.011)))

    sender = threading.Thread(target=send)
    sender.start()
    done = []
    for _ in range(total):
        done.append(pilot.inbox.get().run)
        time.sleep(dice.choice((0, 0, 0.0001, 0.0101, 0.012)))
    sender.join()
    assert done == list(range(total))
    assert set(pilot.takers) == {threading.current_thread().name, "listener"}


def test_who_asks_and_does_not_wait_here_is_heard_for_at_once(pilot: Pilot) -> None:
    pilot.sent.put(work(0))
    pilot.inbox.get()
    pilot.inbox.listen_soon()
    pilot.sent.put(work(1))
    until(lambda: pilot.takers[1:] == ["listener"], 10)
    assert not pilot.together
    pilot.inbox.get()
    for number in range(2, 50):
        assert pilot.inbox.begin(number - 1, number - 1)
        assert pilot.inbox.at_work_on() == number - 1
        pilot.inbox.listen_soon()
        pilot.inbox.end()
        pilot.sent.put(work(number))
        assert pilot.inbox.get().run == number
    assert not pilot.together, "one hears at a time"


def test_only_the_listener_hears_on_its_thread(pilot: Pilot) -> None:
    assert not pilot.inbox.hear_on_listener()
