import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rhapsody_parsl.wire.messages import Work
from rhapsody_parsl.worker.footing import ARGV
from rhapsody_parsl.worker.task_environment import TaskEnvironment

ONE, OTHER = "RHAPSODY_TEST_ONE", "RHAPSODY_TEST_OTHER"


@pytest.fixture(autouse=True)
def outer(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(ONE, "outer")
    monkeypatch.delenv(OTHER, raising=False)
    yield
    os.environ.pop(OTHER, None)


def suit(surroundings: TaskEnvironment, **variables: str) -> tuple[str | None, str | None]:
    surroundings.suit(Work(1, "call", (), variables, []))
    return os.environ.get(ONE), os.environ.get(OTHER)


def test_work_finds_its_variables_and_the_next_none_that_only_the_last_one_had() -> None:
    surroundings = TaskEnvironment()
    assert suit(surroundings, **{ONE: "a", OTHER: "b"}) == ("a", "b")
    assert suit(surroundings, **{OTHER: "c"}) == ("outer", "c")
    assert suit(surroundings) == ("outer", None)
    assert suit(surroundings, **{ONE: "d"}) == ("d", None)
    assert suit(surroundings) == ("outer", None)


def test_what_a_task_changed_is_put_right_for_the_next() -> None:
    surroundings = TaskEnvironment()
    suit(surroundings, **{ONE: "a", OTHER: "b"})
    os.environ[ONE] = "changed by a task"
    del os.environ[OTHER]
    assert suit(surroundings, **{ONE: "a", OTHER: "b"}) == ("a", "b")


def test_cores_are_set_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pinned: list[tuple[int, ...]] = []
    monkeypatch.setattr("rhapsody_parsl.worker.task_environment.pin", pinned.append)
    surroundings = TaskEnvironment()
    for cores in ((0,), (0,), (1,)):
        surroundings.suit(Work(1, "call", cores, {}, []))
    assert pinned == [(0,), (1,)]


def test_after_a_short_task_that_others_follow_less_is_looked_at() -> None:
    surroundings = TaskEnvironment()
    limit = sys.getrecursionlimit()
    argv = sys.argv
    try:
        sys.setrecursionlimit(limit + 1)
        assert surroundings.put_right(1e-5)
        assert sys.getrecursionlimit() == limit + 1
        assert surroundings.put_right()
        assert sys.getrecursionlimit() == limit
    finally:
        sys.argv = argv
        sys.setrecursionlimit(limit)


def test_what_only_some_may_undo_is_told() -> None:
    surroundings = TaskEnvironment()
    child = os.fork()
    if child == 0:
        os.nice(1)
        os._exit(surroundings.put_right())
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_what_a_task_changed_of_its_process_is_put_right(tmp_path: Path) -> None:
    """But for variables that it added: modules do that once, when they are first imported."""
    here, argv = Path.cwd(), sys.argv
    surroundings = TaskEnvironment()
    os.chdir(tmp_path)
    os.environ[ONE], os.environ[OTHER] = "changed", "added"
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.alarm(100)
    try:
        surroundings.put_right()
        assert (Path.cwd(), os.environ[ONE], os.environ[OTHER], sys.argv) == (here, "outer", "added", list(ARGV))
        assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL
        assert signal.alarm(0) == 0
    finally:
        sys.argv = argv
        os.chdir(here)
