"""One contract, kept by every runtime that runs Python and bash apps: the same tests, through the public API."""

import os
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import parsl
import pytest
from parsl import Config, bash_app, python_app
from parsl.app.errors import BashExitFailure
from parsl.dataflow.dflow import DataFlowKernel

from rhapsody_parsl import DragonRuntime, LocalRuntime, MPIRuntime, RhapsodyExecutor
from rhapsody_parsl.errors import PayloadError, WalltimeExceeded, WorkerLost
from testing.waiting import until, until_gone
from tests.integration import apps

CONFIGS: dict[str, Callable[[], Any]] = {"local": LocalRuntime, "dragon": DragonRuntime, "mpi": MPIRuntime}
# For MPI the contract is that of a launched task: the app runs once, with `$PARSL_MPI_PREFIX` set.
KEYS: dict[str, dict[str, Any]] = {"local": {}, "dragon": {}, "mpi": {"num_ranks": 1}}
RUNTIMES = ["local", pytest.param("dragon", marks=pytest.mark.dragon), pytest.param("mpi", marks=pytest.mark.mpi)]
TIMEOUT = 60


class Stage:
    """An executor of one runtime, under a DataFlowKernel or not."""

    def __init__(self, runtime: str, executor: RhapsodyExecutor) -> None:
        self.runtime, self.executor, self.keys = runtime, executor, KEYS[runtime]

    def submit(self, function: Any, *args: Any, spec: dict[str, Any] | None = None, **kwargs: Any) -> Any:
        """Submit below Parsl, where a future can be cancelled."""
        return self.executor.submit(function, {**self.keys, **(spec or {})}, *args, **kwargs)

    def app(self, function: Any, *args: Any, kind: Any = python_app, **kwargs: Any) -> Any:
        return kind(function)(*args, parsl_resource_specification=self.keys, **kwargs)


@pytest.fixture(scope="module", params=RUNTIMES)
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    runtime = request.param
    executor = RhapsodyExecutor(label=runtime, runtimes=[CONFIGS[runtime]()], cores_per_node=2)
    folder = tmp_path_factory.mktemp(runtime)
    with parsl.load(Config(executors=[executor], run_dir=str(folder), initialize_logging=False)):
        executor.submit(apps.add, KEYS[runtime], 1).result(TIMEOUT)  # what starts, has started before the first test
        yield Stage(runtime, executor)


def error_of(future: Any) -> Any:
    error = future.exception(TIMEOUT)
    assert error is not None
    return error


def pids_in(folder: Path) -> list[int]:
    until((folder / "pids").exists, TIMEOUT)
    return [int(word) for word in (folder / "pids").read_text().split()]


def test_result(stage: Stage) -> None:
    assert stage.app(apps.add, 1, y=2).result(TIMEOUT) == 3


def test_an_app_that_needs_no_parsl_loads_none(stage: Stage) -> None:
    """It takes a second or two, and every worker would pay for it."""
    keys = {**stage.keys, "isolation": "process"}
    assert not python_app(apps.has_loaded)("parsl", parsl_resource_specification=keys).result(TIMEOUT)


def test_exception_with_its_traceback(stage: Stage) -> None:
    future = stage.app(apps.fail_deeply, "gone")
    with pytest.raises(KeyError, match="gone") as caught:
        future.result(TIMEOUT)
    frames = traceback.extract_tb(caught.value.__traceback__)
    assert any(frame.name == "deeper" and frame.filename == apps.__file__ and frame.lineno for frame in frames)


def test_unpicklable_result(stage: Stage) -> None:
    error = error_of(stage.app(apps.unpicklable))
    assert isinstance(error, PayloadError)
    assert "the task's result could not be serialized or read" in str(error).lower()
    assert "this one stays here" in str(error)


def test_unpicklable_exception(stage: Stage) -> None:
    error = error_of(stage.app(apps.unpicklable_error))
    assert "with a lock in its pocket" in str(error)


def test_unpicklable_argument(stage: Stage) -> None:
    with pytest.raises(PayloadError, match="function or arguments"):
        stage.submit(apps.take, apps.NoPickle())
    assert isinstance(error_of(stage.app(apps.take, apps.NoPickle())), PayloadError)


def test_ten_megabytes_there_and_back(stage: Stage) -> None:
    data = os.urandom(10_000_000)
    assert stage.app(apps.size_of, data).result(TIMEOUT) == (len(data), data[::-1])


def test_cancel_queued(stage: Stage, tmp_path: Path) -> None:
    busy = [stage.submit(apps.nap, 1.0) for _ in range(2)]
    queued = stage.submit(apps.touch_and_nap, str(tmp_path / "ran"), 0)
    assert queued.cancel()
    with pytest.raises(CancelledError):
        queued.result(TIMEOUT)
    assert [future.result(TIMEOUT) for future in busy] == [1.0, 1.0]
    assert stage.submit(apps.add, 1).result(TIMEOUT) == 2
    assert not (tmp_path / "ran").exists()


def test_cancel_running_ends_its_process_tree(stage: Stage, tmp_path: Path) -> None:
    running = stage.submit(apps.sleep_with_a_child, str(tmp_path))
    pids = pids_in(tmp_path)
    assert running.cancel()
    assert running.cancelled()
    until_gone(pids)
    assert stage.submit(apps.add, 1).result(TIMEOUT) == 2


def test_a_killed_worker_is_lost_and_the_next_task_works(stage: Stage) -> None:
    error = error_of(stage.app(apps.kill_self))
    assert isinstance(error, WorkerLost)
    assert "signal 9" in str(error) or "SIGKILL" in str(error)
    assert stage.app(apps.add, 1).result(TIMEOUT) == 2


def test_a_killed_worker_costs_no_task_that_had_not_begun(stage: Stage) -> None:
    """Short tasks are given ahead, many to a worker: the deadly one among them takes none with it."""
    for future in [stage.submit(apps.die_at, n, 50) for n in range(20)]:
        future.result(TIMEOUT)  # now they are known to be short
    futures = [stage.submit(apps.die_at, n, 50) for n in range(100)]
    lost = [n for n, future in enumerate(futures) if future.exception(TIMEOUT)]
    assert lost[-1] == 50, "a task that had not begun was lost"
    assert len(lost) < 50  # those before it, at most, ended in the last milliseconds and their results died with it


def test_on_loss_rerun(stage: Stage, tmp_path: Path) -> None:
    future = stage.submit(apps.kill_self, str(tmp_path), 2, spec={"on_loss": "rerun"})
    assert future.result(TIMEOUT) == "alive after 2 deaths"


def test_on_loss_rerun_of_a_fresh_process(stage: Stage, tmp_path: Path) -> None:
    """It alone dies, and the worker that started it goes on."""
    future = stage.submit(apps.kill_self, str(tmp_path), 1, spec={"on_loss": "rerun", "isolation": "process"})
    assert future.result(TIMEOUT) == "alive after 1 deaths"


def test_bash(stage: Stage, tmp_path: Path) -> None:
    out, err = tmp_path / "out", tmp_path / "err"
    line = "echo to out; echo to err >&2; echo ${PARSL_MPI_PREFIX:+prefix}"
    assert stage.app(apps.shell, line, kind=bash_app, stdout=str(out), stderr=str(err)).result(TIMEOUT) == 0
    assert out.read_text().split("\n")[:2] == ["to out", "prefix" if stage.runtime == "mpi" else ""]
    assert err.read_text().endswith("to err\n")


def test_bash_exit_code(stage: Stage) -> None:
    error = error_of(stage.app(apps.shell, "exit 7", kind=bash_app))
    assert isinstance(error, BashExitFailure)
    assert error.exitcode == 7


def test_walltime_ends_the_whole_tree(stage: Stage, tmp_path: Path) -> None:
    began = time.monotonic()
    error = error_of(stage.submit(apps.sleep_with_a_child, str(tmp_path), spec={"walltime": 2}))
    assert isinstance(error, WalltimeExceeded)
    assert time.monotonic() - began < 15
    until_gone(pids_in(tmp_path))
    assert stage.submit(apps.add, 1).result(TIMEOUT) == 2


def test_of_tasks_with_a_walltime_each_only_the_one_that_hangs_fails(stage: Stage) -> None:
    """Short ones are put behind each other in a worker, and their time does not begin there."""
    count, hangs = (12, 4) if stage.runtime == "mpi" else (200, 120)
    for future in [stage.submit(apps.nap, 0.001) for _ in range(count)]:
        future.result(TIMEOUT)  # so that they are known to be short
    naps = [
        stage.submit(apps.nap, 60 if n == hangs else 0.001, spec={"walltime": 3 + n / 1000, "priority": n % 5})
        for n in range(count)
    ]
    error = error_of(naps[hangs])
    assert isinstance(error, WalltimeExceeded)
    assert error.args == (3 + hangs / 1000,)
    assert [n for n, future in enumerate(naps) if future.exception(TIMEOUT)] == [hangs]


def test_a_process_of_its_own_for_each_task(stage: Stage) -> None:
    spec = {"isolation": "process"}
    pids = [stage.submit(apps.pid, spec=spec).result(TIMEOUT) for _ in range(3)]
    assert len(set(pids)) == 3
    until_gone(pids)
    error = error_of(stage.submit(apps.kill_self, spec=spec))
    assert isinstance(error, WorkerLost)


def test_surroundings_do_not_leak(stage: Stage, tmp_path: Path) -> None:
    before = stage.submit(apps.surroundings).result(TIMEOUT)
    futures = [stage.submit(apps.dirty, str(tmp_path), spec={"isolation": "process"}) for _ in range(2)]
    assert {future.result(TIMEOUT) for future in futures} == {str(tmp_path)}
    after = [stage.submit(apps.surroundings).result(TIMEOUT) for _ in range(4)]
    assert {(cwd, leak) for cwd, leak, _ in after} == {(before[0], None)}


def test_the_working_directory_is_put_back(stage: Stage, tmp_path: Path) -> None:
    """In a shared process too: a relative path of the next task must not depend on its predecessor."""
    before = stage.submit(apps.surroundings).result(TIMEOUT)[0]
    for future in [stage.submit(os.chdir, str(tmp_path)) for _ in range(4)]:
        future.result(TIMEOUT)
    assert {stage.submit(apps.surroundings).result(TIMEOUT)[0] for _ in range(4)} == {before}


def test_five_hundred_tasks(stage: Stage) -> None:
    count = 500 if stage.runtime != "mpi" else 100
    futures = [stage.app(apps.add, number) for number in range(count)]
    assert sorted(future.result(TIMEOUT) for future in futures) == [number + 1 for number in range(count)]


def test_two_tasks_run_at_once_on_two_cores(stage: Stage, tmp_path: Path) -> None:
    futures = [stage.submit(apps.meet, str(tmp_path), ours) for ours in range(2)]
    assert [future.result(TIMEOUT) for future in futures] == [0, 1]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_stop_leaves_nothing_and_is_prompt(runtime: str, tmp_path: Path) -> None:
    """The watch over each test looks for processes, shared memory and ports."""
    executor = RhapsodyExecutor(label=runtime, runtimes=[CONFIGS[runtime]()], cores_per_node=2)
    dfk = DataFlowKernel(Config(executors=[executor], run_dir=str(tmp_path), initialize_logging=False))
    assert executor.submit(apps.add, KEYS[runtime], 1).result(TIMEOUT) == 2
    left = executor.submit(apps.sleep_with_a_child, KEYS[runtime], str(tmp_path))
    pids = pids_in(tmp_path)
    began = time.monotonic()
    dfk.cleanup()
    assert time.monotonic() - began < 15
    assert left.exception(1)
    until_gone(pids, 5)
