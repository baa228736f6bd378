"""Blocks whose jobs end: who starts, who goes to the next block, who is told, and what becomes of the rest."""

import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import parsl
import pytest
from parsl import Config, bash_app, python_app
from parsl.launchers import WrappedLauncher
from parsl.providers import LocalProvider

from rhapsody_parsl import LocalRuntime, MPIRuntime, RhapsodyExecutor
from rhapsody_parsl.errors import BlockExpired
from rhapsody_parsl.executors.admission import InvalidSpecification
from testing.pages import ROOT
from testing.waiting import until
from tests.integration import apps

pytestmark = pytest.mark.usefixtures("elsewhere")

TIMEOUT = 60


Start = Callable[..., RhapsodyExecutor]


@pytest.fixture
def start() -> Iterator[Start]:
    """Load Parsl with blocks that last so many seconds, and know it."""

    def load(lasts: int, strategy: str = "simple", max_blocks: int = 1, **options: Any) -> RhapsodyExecutor:
        known = f"export RHAPSODY_JOB_END=$(( $(date +%s) + {lasts} ))"
        ended = WrappedLauncher(f"timeout --kill-after=20 {lasts}")
        provider = LocalProvider(worker_init=known, launcher=ended, max_blocks=max_blocks)
        usual: dict[str, Any] = {"runtimes": [LocalRuntime()], "cores_per_node": 1}
        executor = RhapsodyExecutor(label="ending", provider=provider, **{**usual, **options})
        config = Config(executors=[executor], strategy=strategy, strategy_period=0.2, initialize_logging=False)
        parsl.load(config)
        return executor

    yield load
    parsl.dfk().cleanup()
    parsl.clear()


def begun(folder: Path) -> Counter[str]:
    return Counter(line for line in (folder / "begun").read_text().split())


@pytest.mark.parametrize(("strategy", "max_blocks", "keys", "drain_before"), [
    ("none", 2, {}, 4),
    ("simple", 1, {"walltime": 3}, 0),
])  # fmt: skip
def test_what_has_not_begun_goes_on_in_the_next_block(
    start: Start, tmp_path: Path, strategy: str, max_blocks: int, keys: dict[str, Any], drain_before: float
) -> None:
    """Either the block drains, or it hands back what would not end in time."""
    executor = start(7, strategy, max_blocks, drain_before=drain_before)
    note = python_app(apps.note_and_nap)
    specification = {"parsl_resource_specification": keys}
    futures = [note(str(tmp_path / "begun"), str(number), 0.5, **specification) for number in range(9)]
    assert [future.result(TIMEOUT) for future in futures] == [0.5] * 9
    assert {future.task_record["fail_count"] for future in futures} == {0}
    assert begun(tmp_path) == Counter(map(str, range(9))), "each has begun once"
    assert len(executor.connected_blocks()) > 1


def test_a_task_is_told_of_the_end_and_what_runs_on_is_lost(start: Start, tmp_path: Path) -> None:
    """A function, one in a process of its own, and a shell with a program below it; the last has no handler."""
    executor = start(8, cores_per_node=5, drain_before=1)
    told = {"signal": "SIGUSR1", "notice": 4}
    wait = python_app(apps.wait_for_signal)
    shared = wait(parsl_resource_specification=told)
    fresh = wait(parsl_resource_specification={**told, "isolation": "process"})
    shell = bash_app(apps.trap_signal)(stdout=str(tmp_path / "out"), parsl_resource_specification=told)
    deaf = python_app(apps.nap)(100, parsl_resource_specification=told)
    left = python_app(apps.seconds_left)().result(TIMEOUT)
    assert 0 < left <= 8
    ends_at = until(lambda: executor.view().blocks[0].ends_at) or 0.0
    assert executor.snapshot()["blocks"][0]["ends_at"] == ends_at
    for future in (shared, fresh):
        assert ends_at - 4.1 < future.result(TIMEOUT) < ends_at
    assert shell.result(TIMEOUT) == 0
    assert (tmp_path / "out").read_text().split() == ["program", "shell"]
    assert not deaf.done()
    error = deaf.exception(TIMEOUT)
    assert isinstance(error, BlockExpired)
    assert "end of its time" in str(error)


def test_a_task_longer_than_a_block_is_refused(start: Start) -> None:
    executor = start(30)
    early = executor.submit(apps.nap, {"walltime": 100}, 0)
    with pytest.raises(InvalidSpecification, match="until the end of its job"):
        early.result(TIMEOUT)
    with pytest.raises(InvalidSpecification, match="until the end of its job"):
        executor.submit(apps.nap, {"walltime": 100}, 0)
    assert executor.submit(apps.nap, {"walltime": 20}, 0).result(TIMEOUT) == 0


@pytest.mark.mpi
def test_ranks_are_told_of_the_end(start: Start) -> None:
    executor = start(10, runtimes=[MPIRuntime()], cores_per_node=2, drain_before=1)
    keys = {"num_ranks": 2, "returns": "all", "signal": "SIGUSR1", "notice": 5}
    at = executor.submit(apps.wait_for_signal_on_ranks, keys).result(TIMEOUT)
    ends_at = executor.view().blocks[0].ends_at
    assert ends_at is not None
    assert [ends_at - 5.1 < each < ends_at for each in at] == [True, True]


def test_the_example_goes_on_in_the_next_block(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "examples" / "checkpoint.py")]
    done = subprocess.run(command, check=True, cwd=tmp_path, capture_output=True, text=True, timeout=TIMEOUT)
    assert done.stdout == "90 steps in 2 blocks\n"
