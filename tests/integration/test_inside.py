"""Tasks that submit tasks to the block that they run in: on each way that a task's process comes to be."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import parsl
import psutil
import pytest
from parsl import Config

from rhapsody_parsl import DragonRuntime, LocalRuntime, MPIRuntime, RhapsodyExecutor, VLLMService
from rhapsody_parsl.errors import NoParent, WorkerLost
from rhapsody_parsl.inside.executor import block as block_of_this_task
from testing.fake_openai import COMMAND
from testing.waiting import until
from tests.integration import parents, readers

TIMEOUT = 60
WAYS: dict[str, dict[str, Any]] = {
    "local": {"runtime": "local"},
    "fresh": {"runtime": "local", "isolation": "process"},
    "dragon": {"runtime": "dragon"},
}
MARKS = {"dragon": pytest.mark.dragon}
EACH_WAY = [pytest.param({**WAYS[way], "cores": 0}, id=way, marks=MARKS.get(way, ())) for way in WAYS]
FREE = {"cores": 0}


@pytest.fixture(scope="module")
def block(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RhapsodyExecutor]:
    """A block of two cores; each runtime starts with the first test that wants it."""
    executor = RhapsodyExecutor(
        label="inside", runtimes=[LocalRuntime(), DragonRuntime(), MPIRuntime()], default_runtime="local",
        cores_per_node=2, max_depth=3, max_children=50,
        services=[VLLMService("fake", model="m", cores=0, server="command", executable=COMMAND)],
    )  # fmt: skip
    folder = str(tmp_path_factory.mktemp("inside"))
    with parsl.load(Config(executors=[executor], run_dir=folder, initialize_logging=False, strategy="none")):
        yield executor


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where tasks say which processes they are."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def pids(folder: Path) -> list[int]:
    return [int(path.stem) for path in folder.glob("*.pid")]


def gone(number: int) -> bool:
    try:
        return psutil.Process(number).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.parametrize("way", EACH_WAY)
def test_a_task_submits_and_waits(way: dict[str, Any], block: RhapsodyExecutor) -> None:
    assert block.submit(parents.squares, way, 20).result(TIMEOUT) == sum(n * n for n in range(20))
    assert block.submit(parents.as_they_end, way, 20).result(TIMEOUT) == [2470, 9**4, "yes"]
    assert block.submit(parents.two_at_once, way, 40).result(TIMEOUT) == sum(n * n for n in range(40))
    assert block.submit(parents.large, way, 1 << 20).result(TIMEOUT) == 6 << 20


def test_parents_that_lend_their_cores_starve_no_children(block: RhapsodyExecutor) -> None:
    lends = {"runtime": "local", "cores": 1, "lend": True}
    futures = [block.submit(parents.squares_slowly, lends, 4) for _ in range(4)]
    for future in futures:
        found, (before, after) = future.result(TIMEOUT)
        assert found == 14
        assert len(before) == len(after), "it has as many cores again"
    assert block.submit(parents.square, {"cores": 2}, 3).result(TIMEOUT) == 9, "all cores are back"


@pytest.mark.mpi
def test_each_rank_submits(block: RhapsodyExecutor) -> None:
    results = block.submit(parents.on_ranks, {"num_ranks": 2, "returns": "all"}).result(TIMEOUT)
    assert results == [[0, 100], [1, 121]]


@pytest.mark.mpi
def test_a_task_submits_a_gang(block: RhapsodyExecutor) -> None:
    assert block.submit(parents.a_gang, FREE).result(TIMEOUT) == [0, 1]


def test_a_task_asks_a_model(block: RhapsodyExecutor) -> None:
    assert block.submit(parents.asks, FREE, "stressed").result(TIMEOUT) == "desserts"


def test_annotations_count_and_errors_are_typed(block: RhapsodyExecutor, folder: Path) -> None:
    names = block.submit(parents.errors, {"cores": 1}, str(folder)).result(TIMEOUT)
    assert names == [
        "UnroutableTask", "NeedsItsParent", "InvalidTask", "UnroutableTask", "PayloadError",
        "WorkerLost", "TypeError", "WalltimeExceeded", "RhapsodyError",
    ]  # fmt: skip


def test_the_depth_and_the_number_are_bounded(block: RhapsodyExecutor) -> None:
    assert block.submit(parents.deep, FREE, 3).result(TIMEOUT) == 3
    with pytest.raises(Exception, match=r"max_depth=3") as raised:
        block.submit(parents.deep, FREE, 4).result(TIMEOUT)
    assert type(raised.value).__name__ == "TooDeep"
    assert "max_children=50" in block.submit(parents.many, FREE, 51).result(TIMEOUT)


def test_a_parent_cancels(block: RhapsodyExecutor, folder: Path) -> None:
    assert all(block.submit(parents.cancels, FREE, str(folder)).result(TIMEOUT))
    until(lambda: all(map(gone, pids(folder))), 30)


def test_who_is_no_task_has_no_block(block: RhapsodyExecutor) -> None:
    with pytest.raises(NoParent, match="inside a running task"):
        block_of_this_task()
    assert block.submit(parents.forked, FREE).result(TIMEOUT) == "NoParent"


@pytest.mark.parametrize("way", EACH_WAY)
@pytest.mark.parametrize("end", ["cancelled", "killed"])
def test_children_end_with_their_parent(end: str, way: dict[str, Any], block: RhapsodyExecutor, folder: Path) -> None:
    future = block.submit(parents.waits, way, str(folder), 2)
    until(lambda: len(pids(folder)) == 2, TIMEOUT)
    children = pids(folder)
    if end == "cancelled":
        future.cancel()
    else:
        os.kill(int((folder / "parent").read_text()), signal.SIGKILL)
        assert isinstance(future.exception(TIMEOUT), WorkerLost)
    until(lambda: all(map(gone, children)), 30)


def test_children_live_on_when_they_are_to(block: RhapsodyExecutor, folder: Path) -> None:
    block.submit(parents.leaves, FREE, str(folder), 600.0, False).result(TIMEOUT)
    [first] = pids(folder)
    until(lambda: gone(first), 30)
    (folder / f"{first}.pid").unlink()
    block.submit(parents.leaves, FREE, str(folder), 0.5, True).result(TIMEOUT)
    until(lambda: list(folder.glob("*.done")), 30)


def test_people_see_whose_child_a_task_is(block: RhapsodyExecutor, folder: Path) -> None:
    future = block.submit(parents.waits, FREE, str(folder))
    number = future.parsl_executor_task_id  # type: ignore[attr-defined]  # a `TaskFuture`
    until(lambda: [lease for one in block.view().blocks for lease in one.leases if lease.parent == number], 30)
    shown = [record for record in block.timeline() if record["parent"] == number]
    assert [record["name"] for record in shown] == ["sleeps"]
    future.cancel()
    until(lambda: all(map(gone, pids(folder))), 30)


DRIVER = """
import sys, time
from rhapsody_parsl import LocalRuntime, RhapsodyExecutor
from tests.integration import parents, readers

with RhapsodyExecutor(label="gone", runtimes=[LocalRuntime()], cores_per_node=2) as executor:
    executor.submit(parents.waits, {"cores": 0}, sys.argv[1], 2)
    time.sleep(600)
"""


def test_nothing_is_left_when_the_driver_is_killed(folder: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", DRIVER, str(folder)], cwd=folder) as driver:
        try:
            until(lambda: len(pids(folder)) == 2, TIMEOUT)
        finally:
            driver.kill()
    until(lambda: all(map(gone, [*pids(folder), int((folder / "parent").read_text())])), TIMEOUT)


@pytest.mark.parametrize("way", EACH_WAY)
def test_a_task_reads_the_pieces_of_its_tasks(way: dict[str, Any], block: RhapsodyExecutor) -> None:
    child = {key: way[key] for key in ("runtime", "isolation") if key in way}
    assert block.submit(readers.reads, way, child).result(TIMEOUT) == [True, readers.MANY, True, 8 << 20]


@pytest.mark.mpi
def test_pieces_of_a_gang_and_of_a_model_in_a_task(block: RhapsodyExecutor) -> None:
    assert block.submit(readers.awaits, FREE).result(TIMEOUT) == sum(range(readers.MANY))
    assert block.submit(readers.on_ranks, FREE).result(TIMEOUT) == list(range(40))
    assert block.submit(readers.asks, FREE, "stressed").result(TIMEOUT) == ("desserts", "desserts")


def test_a_stream_in_a_task_ends_as_its_task_does(block: RhapsodyExecutor, tmp_path: Path) -> None:
    said = block.submit(readers.others, FREE, str(tmp_path)).result(TIMEOUT)
    assert said == [None, True, "no stream", 2, 1, 2, "well"]


def test_a_generator_that_nobody_can_read_any_more_goes_on(block: RhapsodyExecutor, tmp_path: Path) -> None:
    mark = tmp_path / "written"
    block.submit(readers.leaves_one, FREE, str(mark)).result(TIMEOUT)
    until(mark.exists, 30)
