"""The life of blocks: scaled out and in by Parsl's strategies, drained, and ended by every kind of bad start."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import parsl
import psutil
import pytest
from parsl import Config, python_app
from parsl.executors.errors import BadStateException
from parsl.jobs.states import JobState, JobStatus
from parsl.providers import LocalProvider

from rhapsody_parsl import CommandService, LocalRuntime, RhapsodyExecutor
from rhapsody_parsl.errors import BlockLost
from rhapsody_parsl.wire.totals import Totals
from testing.waiting import until
from tests.integration import apps

pytestmark = pytest.mark.usefixtures("elsewhere")

TIMEOUT = 60


def executor_of(blocks: dict[str, Any], **options: Any) -> RhapsodyExecutor:
    """Return an executor whose blocks have one core each."""
    provider = LocalProvider(**blocks)
    return RhapsodyExecutor(label="blocks", runtimes=[LocalRuntime()], cores_per_node=1, provider=provider, **options)


Start = Callable[..., RhapsodyExecutor]
STORM = int(os.environ.get("RHAPSODY_STORM", "0"))
"""So many blocks at once, ten times; a few, once, without it."""


@pytest.fixture
def start() -> Iterator[Start]:
    """Load Parsl with a strategy that looks five times a second; unload it at the end."""

    def load(strategy: str, blocks: dict[str, Any], retries: int = 0, **options: Any) -> RhapsodyExecutor:
        executor = executor_of(blocks, **options)
        config = Config(
            executors=[executor], strategy=strategy, strategy_period=0.2, max_idletime=3, retries=retries,
            initialize_logging=False,
        )  # fmt: skip
        parsl.load(config)
        return executor

    yield load
    parsl.dfk().cleanup()
    parsl.clear()


def scaled_in(executor: RhapsodyExecutor) -> set[str]:
    return {id_ for id_, job in executor.status_facade.items() if job.state is JobState.SCALED_IN}


def there(executor: RhapsodyExecutor) -> set[str]:
    return {block["id"] for block in executor.snapshot()["blocks"]}


def holder(executor: RhapsodyExecutor) -> str:
    """Return the one block in which a task runs."""
    (id_,) = until(lambda: {b["id"] for b in executor.snapshot()["blocks"] if b["tasks"].get("running")}, 20)
    return str(id_)


def test_auto_scale_ends_the_idle_block_only(start: Start) -> None:
    executor = start("htex_auto_scale", {"init_blocks": 2, "min_blocks": 0, "max_blocks": 2})
    until(lambda: len(executor.connected_blocks()) == 2)
    future = python_app(apps.nap)(6)
    working = holder(executor)
    began = time.monotonic()
    (ended,) = until(lambda: scaled_in(executor), 10)
    assert ended != working
    assert time.monotonic() - began > 0.8  # it had been idle for less than the idle time when the task began
    assert future.result(TIMEOUT) == 6
    until(lambda: scaled_in(executor) == {"0", "1"}, 15)
    assert executor.connected_blocks() in (["0", "1"], ["1", "0"])
    until(lambda: not there(executor), 10)


def test_auto_scale_keeps_the_least_number(start: Start) -> None:
    executor = start("htex_auto_scale", {"init_blocks": 2, "min_blocks": 1, "max_blocks": 2})
    until(lambda: len(scaled_in(executor)) == 1, 30)  # a block that starts late may go before it says hello
    assert python_app(apps.add)(1).result(TIMEOUT) == 2
    until(lambda: len(there(executor)) == 1, 10)


def test_simple_scales_out_with_the_tasks_and_in_without(start: Start) -> None:
    executor = start("simple", {"init_blocks": 0, "min_blocks": 0, "max_blocks": 2, "parallelism": 0.5})
    assert python_app(apps.nap)(0.1).result(TIMEOUT) == 0.1
    assert executor.connected_blocks() == ["0"]  # two tasks a slot: one block is enough
    assert [f.result(TIMEOUT) for f in [python_app(apps.nap)(0.4) for _ in range(8)]] == [0.4] * 8
    until(lambda: len(executor.connected_blocks()) >= 2)
    until(lambda: not there(executor), 15)
    assert python_app(apps.add)(1).result(TIMEOUT) == 2  # and out again


def test_a_block_stays_for_whom_waits_for_its_service(start: Start) -> None:
    opens_late = "import http.server, sys, time; time.sleep(6); http.server.test(port=int(sys.argv[1]))"
    slow = CommandService("slow", (sys.executable, "-c", opens_late, "{port}"), cores=0)
    blocks = {"init_blocks": 1, "min_blocks": 0, "max_blocks": 1}
    executor = start("simple", blocks, services=[slow])
    executor.services["slow"].wait_ready(TIMEOUT)
    assert not scaled_in(executor)


def test_none_starts_the_first_blocks_and_no_more(start: Start) -> None:
    executor = start("none", {"init_blocks": 1, "min_blocks": 0, "max_blocks": 4})
    futures = [python_app(apps.nap)(0.3) for _ in range(8)]
    assert [future.result(TIMEOUT) for future in futures] == [0.3] * 8
    assert executor.connected_blocks() == ["0"]
    assert not scaled_in(executor)


def test_scale_in_takes_the_least_busy_and_lets_it_finish(start: Start, tmp_path: Path) -> None:
    executor = start("none", {"init_blocks": 2, "max_blocks": 3})
    until(lambda: len(executor.connected_blocks()) == 2)
    apps_ = [python_app(apps.touch_and_nap)(str(tmp_path / f"begun-{n}"), 2) for n in range(5)]
    until(lambda: len(list(tmp_path.glob("begun-*"))) == 2)
    (leaving,) = executor.scale_in_facade(1)
    assert leaving in there(executor), "it is not waited for"
    until(lambda: leaving not in there(executor), 20)  # its second task went back
    assert sum(future.done() for future in apps_) <= 2
    for future in apps_:
        assert future.result(TIMEOUT)


def test_the_end_does_not_wait_for_a_leaving_block(start: Start) -> None:
    executor = start("none", {"init_blocks": 1, "max_blocks": 1})
    future = executor.submit(apps.nap, {}, 100)
    holder(executor)
    assert executor.scale_in_facade(1) == ["0"]
    began = time.monotonic()
    executor.shutdown()
    assert time.monotonic() - began < 10
    assert isinstance(future.exception(TIMEOUT), BlockLost)


def test_a_block_drains_after_its_period(start: Start, tmp_path: Path) -> None:
    executor = start("none", {"init_blocks": 1, "max_blocks": 2}, drain_period=3)
    app = python_app(apps.touch_and_nap)
    first, second = app(str(tmp_path / "first"), 5), app(str(tmp_path / "second"), 0)
    until((tmp_path / "first").exists)
    until(lambda: executor.snapshot()["blocks"][0]["state"] == "leaving", 5)
    assert not first.done()
    assert first.result(TIMEOUT)
    until(lambda: not there(executor), 5)
    assert second.result(TIMEOUT)  # in a block that is started for it
    assert set(executor.status_facade) == {"0", "1"}
    until(lambda: executor.status_facade["0"].state is JobState.COMPLETED, 15)
    assert not executor.bad_state_is_set


def test_a_bad_worker_init_fails_the_tasks_with_its_words(start: Start) -> None:
    executor = start("none", {"init_blocks": 1, "max_blocks": 1, "worker_init": "echo no such module >&2; exit 3"})
    error = python_app(apps.add)(1).exception(TIMEOUT)
    assert isinstance(error, BadStateException)
    assert executor.status()["0"].state is JobState.MISSING
    for words in ("before a pilot in it spoke", "EXIT CODE: 3", "no such module"):
        assert words in str(executor.executor_exception)
    assert executor.outstanding() == 0


class Refusing(LocalProvider):
    def submit(self, *args: Any, **kwargs: Any) -> Any:
        raise OSError("the queue is closed")


def test_a_provider_that_fails_fails_the_tasks(monkeypatch: pytest.MonkeyPatch, start: Start) -> None:
    monkeypatch.setattr(LocalProvider, "submit", Refusing.submit)
    executor = start("none", {"init_blocks": 1, "max_blocks": 1})
    error = python_app(apps.add)(1).exception(TIMEOUT)
    assert isinstance(error, BadStateException)
    assert "Failed to start block 0: the queue is closed" in str(executor.executor_exception)
    assert list(executor.status_facade) == ["0"]


def wait_for_task_in(executor: RhapsodyExecutor, block: str) -> None:
    until(lambda: there(executor) == {block} and holder(executor) == block, 20)


def pilot_of(executor: RhapsodyExecutor, block: str) -> psutil.Process:
    """Return a block's pilot once it is connected."""
    until(lambda: block in there(executor), 20)
    words = ["-m", "rhapsody_parsl.pilot", str(executor._config_path), block]

    def alone() -> list[psutil.Process]:
        """Return it alone: a child that it forks has its arguments until it runs its own program."""
        found = [p for p in psutil.process_iter(["cmdline"]) if (p.info["cmdline"] or [])[1:] == words]
        return found if len(found) == 1 else []

    return until(alone, 20)[0]


@pytest.mark.parametrize("strategy", ["none", "simple", "htex_auto_scale"])
def test_a_lost_only_block_is_followed_by_another(start: Start, strategy: str, tmp_path: Path) -> None:
    executor = start(strategy, {"init_blocks": 1, "max_blocks": 1}, retries=1)
    assert python_app(apps.add)(1).result(TIMEOUT) == 2
    running, queued = python_app(apps.touch_and_nap)(str(tmp_path / "begun"), 2), python_app(apps.add)(2)
    until((tmp_path / "begun").exists)
    pilot_of(executor, "0").kill()
    assert queued.result(TIMEOUT) == 3
    assert running.result(TIMEOUT)
    assert running.task_record["fail_count"] == 1
    assert executor.connected_blocks() == ["0", "1"]
    assert executor.status()["0"].state is JobState.FAILED
    assert not executor.bad_state_is_set


def test_without_retries_a_lost_blocks_tasks_fail_and_later_ones_run(start: Start) -> None:
    executor = start("none", {"init_blocks": 1, "max_blocks": 1})
    future = python_app(apps.nap)(100)
    wait_for_task_in(executor, "0")
    pilot_of(executor, "0").kill()
    assert isinstance(future.exception(TIMEOUT), BlockLost)
    assert python_app(apps.nap)(0.1).result(TIMEOUT) == 0.1


def test_totals_outlive_a_killed_block(start: Start) -> None:
    executor = start("none", {"init_blocks": 1, "max_blocks": 1})
    assert [python_app(apps.add)(n).result(TIMEOUT) for n in range(3)] == [1, 2, 3]
    future = python_app(apps.nap)(100)
    wait_for_task_in(executor, "0")
    assert executor.view().totals.tasks == Totals(done=3)
    pilot_of(executor, "0").kill()
    assert isinstance(future.exception(TIMEOUT), BlockLost)
    assert executor.view().totals.tasks == Totals(done=3, lost=1), "its block has told nothing of it"
    assert python_app(apps.add)(3).result(TIMEOUT) == 4
    totals = executor.snapshot()["totals"]
    assert totals["tasks"] == totals["runtimes"]["local"] == {"done": 4, "failed": 0, "lost": 1, "cancelled": 0}
    until(lambda: [block.tasks.done for block in executor.view().blocks] == [1], 10)


def test_a_task_that_may_run_again_does_so_in_the_next_block_and_not_for_ever(start: Start) -> None:
    executor = start("none", {"init_blocks": 1, "max_blocks": 1})
    doomed = executor.submit(apps.nap, {"on_loss": "rerun"}, 100)
    for block in ("0", "1", "2", "3"):
        wait_for_task_in(executor, block)
        assert executor.submit(apps.add, {"cores": 0}, 1).result(TIMEOUT) == 2
        pilot_of(executor, block).kill()
    assert isinstance(doomed.exception(TIMEOUT), BlockLost)
    assert not executor.bad_state_is_set


def test_blocks_that_are_lost_before_they_did_anything_end_the_executor(start: Start) -> None:
    executor = start("none", {"init_blocks": 1, "max_blocks": 1})
    doomed = executor.submit(apps.nap, {"on_loss": "rerun"}, 100)
    for block in ("0", "1", "2"):
        pilot_of(executor, block).kill()
    assert isinstance(doomed.exception(TIMEOUT), BadStateException)
    assert executor.connected_blocks() == ["0", "1", "2"]


def test_the_users_handler_judges(start: Start) -> None:
    judged: list[dict[str, JobStatus]] = []

    def judge(executor: Any, status: dict[str, JobStatus]) -> None:
        judged.append(dict(status))

    blocks = {"init_blocks": 1, "max_blocks": 2, "worker_init": "exit 3"}
    executor = start("none", blocks, block_error_handler=judge)
    until(lambda: any(job.state is JobState.MISSING for status in judged for job in status.values()), 20)
    assert not executor.bad_state_is_set


def test_a_block_with_another_python_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rhapsody_parsl.executors.peers.platform.python_version", lambda: "3.10.2")
    provider = LocalProvider(init_blocks=1, max_blocks=1)
    executor = RhapsodyExecutor(runtimes=[LocalRuntime()], provider=provider)
    with parsl.load(Config(executors=[executor], run_dir=str(tmp_path), initialize_logging=False)):
        error = python_app(apps.add)(1).exception(60)
    assert isinstance(error, BadStateException)
    for words in ("The driver runs Python 3.10.2", "the block Python 3.1", "use the same one on both", "worker_init"):
        assert words in str(error)


@pytest.mark.timeout(7200 if STORM else 180)
@pytest.mark.parametrize("turn", range(10 if STORM else 1))
def test_blocks_that_start_at_once_leave_each_other_alone(turn: int) -> None:
    """Each sweeps what the dead left as it starts: a folder of the living must be none, from the moment it is made."""
    count = STORM or 6
    with executor_of({"init_blocks": count, "max_blocks": count}) as executor:
        until(lambda: len(executor.connected_blocks()) == count, 60 + 2 * count)
        futures = [executor.submit(apps.block_of_ours, {}, 0.2) for _ in range(4 * count)]
        assert {future.result(60 + 2 * count) for future in futures} == {str(number) for number in range(count)}
