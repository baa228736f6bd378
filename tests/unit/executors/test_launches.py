"""Which task is at work for an app's future, and `cancel` of it; Parsl's kernel is a stand-in that keeps its order."""

import functools
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

from parsl.dataflow.futures import AppFuture

from rhapsody_parsl.executors import launches
from rhapsody_parsl.executors.cancelling import cancel
from rhapsody_parsl.executors.future import TaskFuture
from rhapsody_parsl.executors.launches import task_of, watch


class Owner:
    """Brings no word to anybody, and remembers it."""

    def __init__(self) -> None:
        self.cancelled: list[int] = []

    def cancel_task(self, task: int) -> None:
        self.cancelled.append(task)

    def say(self, more: Any) -> None:
        """Nobody hears."""


def app_future(**fields: Any) -> AppFuture:
    kernel = SimpleNamespace(config=SimpleNamespace(retries=3))
    record: Any = {"exec_fu": None, "fail_cost": 0, "dfk": kernel, **fields}
    future = AppFuture(record)
    record["app_fu"] = future
    return future


def update(record: Any, task: Future[Any]) -> None:
    """What Parsl does at the end of a task."""


def launch(future: AppFuture, task: TaskFuture) -> None:
    """Do as Parsl does: it asks for a callback, and writes the task down after that."""
    task.add_done_callback(functools.partial(update, future.task_record))
    future.task_record["exec_fu"] = task


def test_who_waits_for_a_launch_hears_of_it_and_of_the_end() -> None:
    future, owner, heard = app_future(), Owner(), list[str]()
    watch(future, lambda: heard.append(str(task_of(future) is first)))
    first = TaskFuture(1, owner)
    launch(future, first)
    assert heard == ["True"], "it is known before Parsl has written it down"
    future.set_result(None)
    assert len(heard) == 2
    assert not launches._watched


def test_a_task_of_no_app_is_its_own() -> None:
    task = TaskFuture(1, Owner())
    task.add_done_callback(functools.partial(update, {}))
    task.add_done_callback(functools.partial(print))
    assert task_of(task) is task


def test_cancel_ends_what_runs_and_keeps_parsl_from_trying_again() -> None:
    future, owner = app_future(), Owner()
    launch(future, TaskFuture(1, owner))
    assert cancel(future)
    assert owner.cancelled == [1]
    assert future.task_record["fail_cost"] > 3


def test_cancel_waits_for_a_launch() -> None:
    future, owner = app_future(), Owner()
    assert cancel(future)
    launch(future, TaskFuture(1, owner))
    assert owner.cancelled == [1]
    future.set_result(None)
    assert not launches._watched


def test_cancel_of_a_join_app_goes_to_what_it_waits_for() -> None:
    inner, owner = app_future(), Owner()
    launch(inner, TaskFuture(1, owner))
    body: Future[Any] = Future()
    body.set_result(inner)
    for joins in (inner, [inner]):
        assert cancel(app_future(exec_fu=body, joins=joins)) or True
    assert owner.cancelled == [1]


def test_what_has_ended_or_is_another_executors_is_not_cancelled() -> None:
    future = app_future()
    future.set_result(1)
    assert not cancel(future)

    class Foreign(Future[Any]):
        def cancel(self) -> bool:
            raise NotImplementedError

    assert not cancel(app_future(exec_fu=Foreign()))
    task = TaskFuture(1, owner := Owner())
    assert cancel(task)
    assert owner.cancelled == [1]
