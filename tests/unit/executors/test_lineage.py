"""Lost values are made again by the tasks that gave them."""

import threading
from typing import Any, cast

import pytest

from rhapsody_parsl.annotations.reruns import MOST_RERUNS
from rhapsody_parsl.data.reference import Facts, Here, Left, Ref
from rhapsody_parsl.errors import DataLost, PayloadError
from rhapsody_parsl.executors import lineage as module
from rhapsody_parsl.executors.future import open_result
from rhapsody_parsl.executors.lineage import Lineage
from rhapsody_parsl.payload import pack_result
from rhapsody_parsl.wire.messages import RESULT, Result, Task, failed


class Run:
    """An executor: its tasks, and what it is told."""

    token = "of-this-test"  # noqa: S105 - tells executors apart

    def __init__(self) -> None:
        self.put, self.over = list[int](), dict[int, Any]()
        self.tasks: dict[int, Task] = {}
        self.lineage = Lineage(lambda task: self.put.append(task.id), self.tasks.__contains__, self.complete)

    def submit(self, number: int, *takes: int, remakes: bool = True, payload: bytes = b"call") -> None:
        task = self.tasks[number] = Task(number, b"", payload, b"", tuple((str(key), 10) for key in takes))
        self.lineage.submitted(task, remakes)
        self.put.append(number)

    def ended(self, result: Result) -> None:
        if not self.lineage.ended(result):
            self.complete(result)

    def complete(self, result: Result) -> None:
        value, error = open_result(result)
        self.over[result.id] = error or value
        self.tasks.pop(result.id)

    def gives(self, number: int) -> None:
        self.ended(Result(number, RESULT, pack_result(Left(Facts(self.token, str(number), 10, "", "0")))))

    def lacks(self, number: int, key: int) -> None:
        self.ended(failed(number, DataLost(str(key), 10, "its host was lost")))

    def arrived(self, facts: Facts) -> Ref:
        return Ref(cast(Any, self), facts.key, facts.size)

    def released(self, key: str) -> None: ...

    def again(self) -> list[int]:
        put, self.put[:] = list(self.put), []
        return put


@pytest.fixture
def run() -> Run:
    made = Run()
    Here.owners[made.token] = cast(Any, made)
    return made


def test_who_lacks_a_value_waits_until_it_is_made_again(run: Run) -> None:
    run.submit(1)
    run.gives(1)
    run.submit(2, 1, remakes=False)
    run.submit(3, 1, remakes=False)
    assert run.again() == [1, 2, 3]
    run.lacks(2, 1)
    run.lacks(3, 1)
    assert run.again() == [1]
    run.gives(1)
    assert run.again() == [2, 3]
    for number in (2, 3):
        run.ended(Result(number, RESULT, pack_result("done")))
    assert [run.over[number] for number in (2, 3)] == ["done"] * 2
    assert not run.lineage._using, "nothing is kept of what is over"
    assert not run.lineage._held


def test_what_makes_it_may_lack_a_value_itself(run: Run) -> None:
    for number in (1, 2, 3):
        run.submit(number, *range(1, number))
        run.gives(number)
    run.submit(4, 3, remakes=False)
    run.again()
    run.lacks(4, 3)
    run.lacks(3, 2)
    run.lacks(2, 1)
    assert run.again() == [3, 2, 1]
    run.gives(1)
    run.gives(2)
    run.gives(3)
    assert run.again() == [2, 3, 4]
    run.ended(Result(4, RESULT, pack_result("right")))
    assert run.over[4] == "right"


@pytest.mark.parametrize("why", ["unknown", "large", "deleted", "too often"])
def test_without_a_way_to_make_it_the_task_fails(run: Run, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LARGEST", 10)
    run.submit(1, remakes=why != "unknown", payload=bytes(11 if why == "large" else 1))
    run.gives(1)
    run.submit(2, 1, remakes=False)
    if why == "deleted":
        run.lineage.forget("1")
    run.again()
    for _ in range(MOST_RERUNS if why == "too often" else 0):
        run.lacks(2, 1)
        run.gives(1)
    run.lacks(2, 1)
    assert isinstance(run.over[2], DataLost)
    assert run.again() == [1, 2] * (MOST_RERUNS if why == "too often" else 0)


@pytest.mark.parametrize("how", ["raised", "lost", "closed"])
def test_when_it_is_not_made_who_waits_is_told(run: Run, how: str) -> None:
    run.submit(1)
    run.gives(1)
    run.submit(2, 1, remakes=False)
    run.lacks(2, 1)
    match how:
        case "raised":
            run.ended(failed(1, PayloadError("result", "no room")))
        case "lost":
            assert run.lineage.failed(1, DataLost("block", 0, "gone"))
        case _:
            run.lineage.close("its executor was shut down")
    error = run.over[2]
    assert isinstance(error, DataLost)
    assert {"raised": "no room", "lost": "block", "closed": "shut down"}[how] in str(error)


def test_a_task_that_nobody_wants_any_more_is_not_sent_again(run: Run) -> None:
    run.submit(1)
    run.gives(1)
    run.submit(2, 1, remakes=False)
    run.lacks(2, 1)
    run.tasks.pop(2)
    run.again()
    run.gives(1)
    assert (run.again(), run.lineage._using) == ([], {})


def test_others_may_wait_too(run: Run) -> None:
    run.submit(1)
    run.gives(1)
    told: list[tuple[str, int]] = []
    threads = [
        threading.Thread(
            target=run.lineage.make_again, args=["1", lambda why, ref: told.append((why, ref.size if ref else 0))]
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert run.again() == [1, 1], "submitted, and run again once"
    run.gives(1)
    assert told == [("", 10)] * 4


def test_only_the_newest_are_known(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_KNOWN", 2)
    for number in (1, 2, 3):
        run.submit(number)
    assert not run.lineage.make_again("1", lambda why, ref: None)
    assert run.lineage.make_again("3", lambda why, ref: None)
