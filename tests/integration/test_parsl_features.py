"""What Parsl offers around apps, under this executor: what its own suite tests with a fixed executor only.

With our configuration that suite (`make parsl-suite`) runs, among others:

| clause | in parsl/tests |
| --- | --- |
| memoization | test_python_apps/test_memoize_*.py, test_bash_apps/test_memoize*.py |
| `join_app` | test_python_apps/test_join.py, test_memoize_joinapp.py |
| file staging, `storage_access` | test_staging/test_file_staging.py, test_file_apps.py, test_staging_stdout.py |
| `stdout`, `stderr` as paths and tuples | test_bash_apps/test_stdout.py |
| python `walltime`; bash `walltime` | test_error_handling/test_python_walltime.py; test_bash_apps/test_apptimeout.py |
| dependencies and their failures | test_python_apps/test_depfail_propagation.py, test_dependencies.py |

Elsewhere: strategies, `scale_in`, `drain_period`, bad worker_init, provider errors and `block_error_handler` in
test_blocks.py; `launch_cmd`, `connected_blocks`, cancelling, use without the DFK in test_executor.py and
test_contract.py; monitoring in test_monitoring*.py; MPIExecutor's apps in test_mpi_executor_apps.py.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import parsl
import pytest
from parsl import Config, bash_app, python_app
from parsl.app.errors import AppTimeout
from parsl.dataflow.memoization import BasicMemoizer
from parsl.utils import get_all_checkpoints

from rhapsody_parsl import LocalRuntime, RhapsodyExecutor
from testing.processes import below
from testing.waiting import until
from tests.integration import apps

TIMEOUT = 60


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Return how to load Parsl with one worker."""
    monkeypatch.chdir(tmp_path)

    def loaded(**options: Any) -> Any:
        executor = RhapsodyExecutor(label="one", runtimes=[LocalRuntime()], cores_per_node=1)
        return parsl.load(Config(executors=[executor], initialize_logging=False, strategy="none", **options))

    return loaded


def test_a_checkpoint_spares_the_task_in_the_next_run(load: Callable[..., Any], tmp_path: Path) -> None:
    mark = str(tmp_path / "ran")
    app = python_app(apps.touch_and_nap, cache=True)
    with load(memoizer=BasicMemoizer(checkpoint_mode="task_exit")):
        assert app(mark, 0).result(TIMEOUT) == mark
    Path(mark).unlink()
    with load(memoizer=BasicMemoizer(checkpoint_files=get_all_checkpoints("runinfo"))):
        assert app(mark, 0).result(TIMEOUT) == mark
    assert not Path(mark).exists()


def test_a_retry_handler_sees_our_errors_and_decides(load: Callable[..., Any], tmp_path: Path) -> None:
    seen: list[str] = []

    def handler(error: Exception, _record: Any) -> float:
        seen.append(type(error).__name__)
        return 1.0 if type(error).__name__ == "WorkerLost" else 100.0

    with load(retries=2, retry_handler=handler):
        assert python_app(apps.kill_self)(str(tmp_path), 2).result(TIMEOUT) == "alive after 2 deaths"
        with pytest.raises(KeyError):
            python_app(apps.fail_deeply)("no").result(TIMEOUT)
    assert seen == ["WorkerLost", "WorkerLost", "KeyError"]


def test_auto_lognames(load: Callable[..., Any]) -> None:
    with load():
        future = bash_app(apps.shell)("echo out; echo err >&2", stdout=parsl.AUTO_LOGNAME, stderr=parsl.AUTO_LOGNAME)
        assert future.result(TIMEOUT) == 0
        assert Path(future.stdout).read_text() == "out\n"
        assert "err" in Path(future.stderr).read_text()


def test_bash_walltime_ends_the_whole_tree(load: Callable[..., Any]) -> None:
    with load():
        with pytest.raises(AppTimeout):
            bash_app(slow)(walltime=1).result(TIMEOUT)
        until(lambda: not below("sleep 98765"), 10)


def test_the_lower_priority_goes_first(load: Callable[..., Any], tmp_path: Path) -> None:
    app = python_app(append)
    with load():
        first = python_app(apps.nap)(1)
        out = str(tmp_path / "order")
        futures = [app(out, number, parsl_resource_specification={"priority": number}) for number in (3, 1, 2)]
        for future in (first, *futures):
            future.result(TIMEOUT)
    assert Path(out).read_text().split() == ["1", "2", "3"]


def append(path: str, number: int) -> None:
    with Path(path).open("a") as file:
        file.write(f"{number}\n")


def slow(walltime: int) -> str:
    return "(sleep 98765; true) & wait"
