"""The runtime of the page "Add a runtime", in the driver and in a block, as a user adds it."""

import asyncio
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import parsl
import psutil
import pytest
from parsl import Config, python_app
from parsl.providers import LocalProvider

from add_a_runtime import Pool, Subprocess, SubprocessPool
from rhapsody_parsl import LocalRuntime, RhapsodyExecutor, annotate
from rhapsody_parsl.annotations.task_spec import TaskSpec
from rhapsody_parsl.errors import RuntimeUnavailable, WalltimeExceeded, WorkerLost
from rhapsody_parsl.payload import pack_call
from rhapsody_parsl.runtimes.protocol import Context, Node, Placed, Run
from rhapsody_parsl.wire.leases import Share
from rhapsody_parsl.wire.messages import Result, Task
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


class Heard:
    """What a runtime told the pilot."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int, list[int]]] = []

    def done(self, run: int, results: Sequence[Result]) -> None:
        self.told.append(("done", run, [result.id for result in results]))

    def returned(self, run: int, tasks: Sequence[int]) -> None:
        self.told.append(("returned", run, list(tasks)))

    def lost(self, run: int, error: Exception, untouched: Sequence[int] = ()) -> None:
        assert isinstance(error, WorkerLost)
        self.told.append(("lost", run, list(untouched)))

    def at_work(self, run: Run, host: str, pids: Any) -> None: ...


def test_what_waits_in_a_run_is_returned_or_outlives_a_loss(tmp_path: Path) -> None:
    """Its tasks take a tenth of a second at least, for which the pilot gives none ahead; another's may be shorter."""
    node = Node(name="n0", host="n0", cores=(0,), real_cores=(0,))
    heard: Any = Heard()
    calls = [pack_call(function, (number,), {}) for function, number in ((apps.add, 1), (apps.nap, 60))]

    async def use() -> None:
        made = Pool(
            SubprocessPool(),
            Context(
                nodes={"n0": node},
                head="n0",
                folder=tmp_path,
                logs=tmp_path,
                python=sys.executable,
                environment={},
                events=heard,
            ),
        )
        await made.start()
        spec = TaskSpec(runtime="subprocess_pool")
        runs = [Run(number, spec, (Placed(node, Share("n0", (0,))),)) for number in (1, 2)]
        made.run(runs[0], [Task(1, b"", calls[0]), Task(2, b"", calls[1]), Task(3, b"", calls[0])])
        made.run(runs[0], [Task(4, b"", calls[0])])
        made.cancel(runs[0], [3], kill=False)
        while ("done", 1, [1]) not in heard.told:
            await asyncio.sleep(0.05)
        made.cancel(runs[0], [2], kill=True)
        made.run(runs[1], [Task(5, b"", calls[1])])
        while ("lost", 1, [4]) not in heard.told:
            await asyncio.sleep(0.05)
        await made.stop()

    asyncio.run(asyncio.wait_for(use(), 30))
    assert heard.told == [("returned", 1, [3]), ("done", 1, [1]), ("lost", 1, [4]), ("lost", 2, [])]
    assert not [path for path in tmp_path.iterdir() if path.suffix in {".call", ".answer", ".part"}]


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
