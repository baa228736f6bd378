"""The engine behind Globus Compute's own interchange, in this process: packed tasks and results on real queues."""

import os
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from parsl.providers import LocalProvider

from rhapsody_parsl.globus_compute import RhapsodyEngine
from testing.globus_engine import TaskFailedError
from testing.globus_interchange import Queues, play
from testing.waiting import until
from tests.globus import functions

pytestmark = pytest.mark.timeout(60, func_only=True)  # the broker, which all share, has a deadline of its own


def engine() -> RhapsodyEngine:
    provider = LocalProvider(init_blocks=1, max_blocks=1)
    return RhapsodyEngine(provider=provider, runtimes={"local": {}}, cores_per_node=2)


@pytest.fixture
def queues(broker_url: str, tmp_path: Path) -> Iterator[Queues]:
    queues = Queues(broker_url, tmp_path)
    yield queues
    queues.close()


def test_tasks_failures_and_reports_go_over_the_queues(queues: Queues) -> None:
    def client(_: Any) -> dict[str, Any]:
        futures = [queues.submit(functions.square, x) for x in range(50)]
        assert [queues.value(future) for future in futures] == [x * x for x in range(50)]
        with pytest.raises(TaskFailedError, match=r"(?s)in fail.*LookupError: no such word: nix") as caught:
            queues.value(queues.submit(functions.fail, "nix"))
        assert caught.value.code == "RemoteExecutionError"
        with pytest.raises(TaskFailedError, match=r"Did you mean 'cores'\?") as caught:
            queues.value(queues.submit(functions.square, 1, spec={"coers": 1}))
        assert caught.value.code == "InvalidTask"
        return queues.next_report()

    report = play(queues, engine(), client)
    assert report["active"]
    assert (report["total_workers"], report["total_tasks"], report["outstanding_tasks"]) == (2, 52, 0)
    assert report["runtimes"]["0"]["local"]["state"] == "ready"
    assert not queues.waiting(), "each task was confirmed to the broker"
    until(lambda: not queues.reports[-1]["active"], 10)  # the last word


def test_a_function_that_is_not_allowed_reaches_no_worker(queues: Queues) -> None:
    allowed = uuid.uuid4()

    def client(_: Any) -> Any:
        refused = queues.submit(functions.square, 2)
        with pytest.raises(TaskFailedError, match="not permitted") as caught:
            queues.value(refused)
        assert caught.value.code == "FUNCTION_NOT_ALLOWED"
        return queues.value(queues.submit(functions.square, 3, of=allowed))

    assert play(queues, engine(), client, allowed_functions=[allowed]) == 9


def test_sigterm_ends_it_and_what_waits_is_answered_by_the_next(queues: Queues) -> None:
    def ended_by_a_signal(interchange: Any) -> Any:
        value = queues.value(first)
        queues.next_report()  # by then the task is confirmed
        os.kill(os.getpid(), signal.SIGTERM)
        until(lambda: interchange.time_to_quit, 10)
        return value

    first = queues.submit(functions.square, 4)
    assert play(queues, engine(), ended_by_a_signal) == 16
    waiting = [queues.submit(functions.square, x) for x in range(5)]
    until(lambda: queues.waiting() == 5, 10)  # the broker counts a little later
    assert play(queues, engine(), lambda _: [queues.value(each) for each in waiting]) == [0, 1, 4, 9, 16]
