"""The runtime of the page "Add a runtime", in the driver and in a block, as a user adds it."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import parsl
import psutil
import pytest
from parsl import Config, python_app
from parsl.providers import LocalProvider

from add_a_runtime import Subprocess, SubprocessPool
from rhapsody_parsl import LocalRuntime, RhapsodyExecutor, annotate
from rhapsody_parsl.errors import RuntimeUnavailable, WalltimeExceeded, WorkerLost
from testing.waiting import until, until_gone
from tests.integration import apps

ROOT = Path(__file__).parents[2]
WITH_IT, WITHOUT_IT = f"{ROOT}:{ROOT / 'examples'}", str(ROOT)
TIMEOUT = 60


def executor(path: str, *runtimes: Any) -> RhapsodyExecutor:
    provider = LocalProvider(worker_init=f"export PYTHONPATH={path}", init_blocks=1, max_blocks=1)
    return RhapsodyExecutor(provider=provider, runtimes=runtimes, cores_per_node=2)


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RhapsodyExecutor]:
    made = executor(WITH_IT, SubprocessPool(niceness=3), LocalRuntime())
    folder = str(tmp_path_factory.mktemp("pool"))
    with parsl.load(Config(executors=[made], run_dir=folder, initialize_logging=False)):
        yield made


@pytest.fixture
def submit(pool: RhapsodyExecutor) -> Callable[..., Any]:
    def call(function: Any, *args: Any, **keys: Any) -> Any:
        return pool.submit(function, {"runtime": "subprocess_pool", **keys}, *args)

    return call


def test_apps_run_in_processes_of_their_own(submit: Callable[..., Any]) -> None:
    futures = [python_app(annotate(Subprocess(cores=1))(apps.pid))() for _ in range(4)]
    pids = {future.result(TIMEOUT) for future in futures}
    assert len(pids) == 4
    assert submit(os.nice, 0).result(TIMEOUT) == 3
    until_gone([*pids])


def test_an_error_of_the_app_is_the_apps(submit: Callable[..., Any]) -> None:
    with pytest.raises(KeyError, match="gone"):
        submit(apps.fail_deeply, "gone").result(TIMEOUT)


def test_large_payloads(submit: Callable[..., Any]) -> None:
    data = os.urandom(2_000_000)
    assert submit(apps.size_of, data).result(TIMEOUT) == (len(data), data[::-1])


def test_short_tasks_that_were_given_ahead_survive_a_deadly_one(submit: Callable[..., Any]) -> None:
    for future in [submit(apps.die_at, n, 12) for n in range(6)]:
        future.result(TIMEOUT)
    futures = [submit(apps.die_at, n, 12) for n in range(16)]
    assert [n for n, future in enumerate(futures) if future.exception(TIMEOUT)] == [12]
    assert isinstance(futures[12].exception(), WorkerLost)


def test_a_kill_takes_the_whole_tree(submit: Callable[..., Any], tmp_path: Path) -> None:
    running = submit(apps.sleep_with_a_child, str(tmp_path))
    until((tmp_path / "pids").exists, TIMEOUT)
    pids = [int(word) for word in (tmp_path / "pids").read_text().split()]
    queued = [submit(apps.nap, 0.01) for _ in range(3)]
    assert running.cancel()
    with pytest.raises(CancelledError):
        running.result(TIMEOUT)
    until_gone(pids)
    assert [future.result(TIMEOUT) for future in queued] == [0.01] * 3


def test_walltime_and_on_loss(submit: Callable[..., Any], tmp_path: Path) -> None:
    assert isinstance(submit(apps.nap, 60, walltime=1.5).exception(TIMEOUT), WalltimeExceeded)
    assert submit(apps.kill_self, str(tmp_path), 2, on_loss="rerun").result(TIMEOUT) == "alive after 2 deaths"


def test_a_pilot_that_is_killed_leaves_no_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with executor(WITH_IT, SubprocessPool()) as made:
        running = made.submit(apps.sleep_with_a_child, {}, str(tmp_path))
        until((tmp_path / "pids").exists, TIMEOUT)
        pids = [int(word) for word in (tmp_path / "pids").read_text().split()]
        psutil.Process(pids[0]).suspend()
        (pilot,) = (each for each in psutil.Process(pids[0]).parents() if "rhapsody_parsl.pilot" in each.cmdline()[:3])
        pilot.kill()
        assert running.exception(TIMEOUT)
    until_gone(pids)


def test_a_block_that_lacks_the_module_says_so_and_its_other_runtimes_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with executor(WITHOUT_IT, SubprocessPool(), LocalRuntime()) as made:
        assert made.submit(apps.add, {"runtime": "local"}, 1).result(TIMEOUT) == 2
        error = made.submit(apps.add, {"runtime": "subprocess_pool"}, 1).exception(TIMEOUT)
    assert isinstance(error, RuntimeUnavailable)
    assert "add_a_runtime:SubprocessPool cannot be imported: No module named 'add_a_runtime'. Install it" in str(error)
