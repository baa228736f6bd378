import gc
import threading
from concurrent.futures import FIRST_COMPLETED, Future, as_completed, wait
from typing import Any

import pytest

from rhapsody_parsl.executors.future import TaskFuture
from rhapsody_parsl.executors.light_condition import LightCondition
from rhapsody_parsl.wire.piece_messages import More
from testing.waiting import until


class Nobody:
    def cancel_task(self, task: int) -> None:
        pass

    def say(self, more: More) -> None:
        pass


def make(count: int) -> list[TaskFuture]:
    owner = Nobody()
    return [TaskFuture(number, owner) for number in range(count)]


def test_those_who_wait_are_woken_one_or_all() -> None:
    condition, awake = LightCondition(), list[int]()

    def sleep(number: int) -> None:
        with condition:
            assert condition.wait(10)
            awake.append(number)

    threads = [threading.Thread(target=sleep, args=(number,)) for number in range(3)]

    def asleep() -> int:
        with condition:
            return len(condition._waiters)

    for thread in threads:
        thread.start()
    until(lambda: asleep() == len(threads), 10)
    with condition:
        condition.notify()
    until(lambda: len(awake) == 1, 10)
    assert asleep() == 2
    with condition:
        condition.notify_all()
    for thread in threads:
        thread.join(10)
    assert sorted(awake) == [0, 1, 2]


def test_its_lock_is_held_by_one_thread_as_often_as_that_takes_it() -> None:
    condition = LightCondition()
    with condition, condition:
        assert not condition.wait(0.01), "nobody notifies; and it is held as before"
        other = threading.Thread(target=lambda: taken.append(condition.acquire(blocking=False)))
        taken: list[bool] = []
        other.start()
        other.join(10)
        assert taken == [False]
    with pytest.raises(RuntimeError):
        condition.notify()
    with pytest.raises(RuntimeError):
        condition.wait(0.01)


def test_futures_are_waited_for_in_every_way() -> None:
    first, second, third = make(3)
    threading.Timer(0.05, first.set_result, [1]).start()
    assert first.result(10) == 1
    with pytest.raises(TimeoutError):
        second.result(0.01)
    threading.Timer(0.05, second.set_exception, [ValueError("no")]).start()
    done, open_ = wait([second, third], 10, return_when=FIRST_COMPLETED)
    assert (done, open_) == ({second}, {third})
    called: list[Future[Any]] = []
    third.add_done_callback(called.append)
    threading.Timer(0.05, third.set_result, [3]).start()
    assert set(as_completed([first, second, third], 10)) == {first, second, third}
    assert called == [third]


def test_a_future_is_few_objects_for_the_collector() -> None:
    gc.collect()
    before = len(gc.get_objects())
    kept = make(1000)
    assert (len(gc.get_objects()) - before) / len(kept) < 6
