"""Large arguments and results on one host: they go around the pilot, and nothing of them is left."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from parsl.providers import LocalProvider

from rhapsody_parsl import DragonRuntime, LocalRuntime, MPIRuntime, RhapsodyExecutor
from rhapsody_parsl.errors import BlockLost
from rhapsody_parsl.wire import shared_memory
from testing.processes import peak_memory, processes_of
from testing.waiting import until, until_gone
from tests.integration import apps

pytestmark = pytest.mark.usefixtures("elsewhere")

TIMEOUT = 60
ROOT = Path(__file__).parents[2]
LARGE = 20_000_000
RUNTIMES = [
    pytest.param(LocalRuntime, {}, id="local"),
    pytest.param(DragonRuntime, {}, id="dragon", marks=pytest.mark.dragon),
    pytest.param(MPIRuntime, {"num_ranks": 2}, id="mpi", marks=pytest.mark.mpi),
]


def of(runtime: Any, **options: Any) -> RhapsodyExecutor:
    return RhapsodyExecutor(label="x", runtimes=[runtime()], cores_per_node=2, **options)


@pytest.fixture
def running() -> Iterator[RhapsodyExecutor]:
    with of(LocalRuntime) as executor:
        assert executor.submit(apps.add, {}, 1).result(TIMEOUT) == 2
        yield executor


def files(executor: RhapsodyExecutor) -> list[str]:
    """What lies in the driver's folder, and in those of its blocks."""
    found = [name for _, _, names in os.walk(executor._shared.path) for name in names]
    return sorted(name for name in found if not name.startswith("."))


def pilots_peak() -> int:
    """The pilot's peak memory, bytes."""
    return peak_memory(processes_of("rhapsody_parsl.pilot")[0])


def there_and_back(executor: RhapsodyExecutor, keys: dict[str, Any]) -> int:
    """Send 1 MB and 20 MB both ways; return by how much that raised the pilot's peak memory."""
    function = apps.reversed_by_a_gang if keys else apps.size_of
    executor.submit(function, keys, b"").result(TIMEOUT)
    before = pilots_peak()
    for data in (os.urandom(1_000_000), os.urandom(LARGE)):
        futures = [executor.submit(function, keys, data) for _ in range(3)]
        assert [future.result(TIMEOUT) for future in futures] == [(len(data), data[::-1])] * 3
    return pilots_peak() - before


@pytest.mark.parametrize(("runtime", "keys"), RUNTIMES)
def test_they_go_around_the_pilot(runtime: Any, keys: dict[str, Any]) -> None:
    with of(runtime) as executor:
        assert there_and_back(executor, keys) < LARGE / 4
        until(lambda: not files(executor), 5)


@pytest.mark.parametrize(("runtime", "keys"), RUNTIMES)
def test_without_shared_memory_they_pass_through_it(
    runtime: Any, keys: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_memory, "_MEMORY", "/nowhere")
    with of(runtime) as executor:
        assert there_and_back(executor, keys) > LARGE


def test_when_it_is_full_arguments_pass_through_it(running: RhapsodyExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_memory, "_KEPT_FREE", 1.0)
    assert there_and_back(running, {}) > LARGE
    until(lambda: not files(running), 5)


def test_a_process_of_its_own_gets_them_too(running: RhapsodyExecutor) -> None:
    data = os.urandom(LARGE)
    assert running.submit(apps.size_of, {"isolation": "process"}, data).result(TIMEOUT) == (LARGE, data[::-1])
    until(lambda: not files(running), 5)


def test_an_argument_lies_there_until_its_task_is_cancelled(running: RhapsodyExecutor) -> None:
    data = bytes(1_000_000)
    begun = [running.submit(apps.nap_over, {}, 100, data) for _ in range(2)]
    queued = running.submit(apps.nap_over, {}, 100, data)
    until(lambda: len(files(running)) == 3)
    for future in (queued, *begun):
        assert future.cancel()
    until(lambda: not files(running), 5)
    assert running.submit(apps.size_of, {}, data).result(TIMEOUT) == (len(data), data)


def test_a_killed_worker_leaves_nothing_and_the_rerun_has_its_argument(
    running: RhapsodyExecutor, tmp_path: Path
) -> None:
    data = os.urandom(1_000_000)
    future = running.submit(apps.die_over, {"on_loss": "rerun"}, str(tmp_path), 2, data)
    assert future.result(TIMEOUT) == data
    assert running.submit(apps.die_over, {}, str(tmp_path / "other"), 9, data).exception(TIMEOUT)
    until(lambda: not files(running), 5)


def test_a_lost_block_leaves_nothing_and_the_other_has_the_argument(tmp_path: Path) -> None:
    data = os.urandom(1_000_000)
    with of(LocalRuntime, provider=LocalProvider(init_blocks=2, max_blocks=2)) as executor:
        until(lambda: len(executor.connected_blocks()) == 2)
        futures = [executor.submit(apps.nap_over, {"on_loss": "rerun"}, 0.3, data) for _ in range(12)]
        lost = executor.submit(apps.nap_over, {}, 100, data)
        until(lambda: files(executor))
        processes_of("rhapsody_parsl.pilot")[0].kill()
        assert [future.result(TIMEOUT) for future in futures] == [data] * 12
        if lost.done():
            assert isinstance(lost.exception(), BlockLost)
        lost.cancel()
        until(lambda: not files(executor), 5)


DRIVER = """
import sys
from rhapsody_parsl import LocalRuntime, RhapsodyExecutor
from tests.integration import apps
if __name__ == "__main__":
    with RhapsodyExecutor(label="x", runtimes=[LocalRuntime()], cores_per_node=2) as executor:
        futures = [executor.submit(apps.nap_over, {}, 100, bytes(1_000_000)) for _ in range(5)]
        executor.submit(apps.add, {"cores": 0}, 1).result()
        print(executor._shared.path, flush=True)
        [future.result() for future in futures]
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_the_end_of_the_driver_leaves_nothing(number: int) -> None:
    """The watch over each test looks at the shared memory, too."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", DRIVER]
    with subprocess.Popen(command, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as driver:
        assert driver.stdout
        path = Path(driver.stdout.readline().strip())
        assert sum(file.stat().st_size for file in path.iterdir() if file.is_file()) > 5_000_000
        driver.send_signal(number)
        driver.wait(30)
    until(lambda: not path.exists(), 20)
    until_gone([process.pid for process in processes_of("rhapsody_parsl.pilot")], 20)
