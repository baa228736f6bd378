"""Values that tasks keep in their block and pass on by reference: who has them, and that nothing is left."""

import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import parsl
import pytest
from parsl import Config

from rhapsody_parsl import DragonRuntime, LocalRuntime, MPIRuntime, Ref, RhapsodyExecutor
from rhapsody_parsl.errors import DataLost, WorkerLost
from testing.waiting import until
from tests.integration import keepers, references

TIMEOUT = 60
COUNT = keepers.COUNT
FREE = {"cores": 0}
WAYS: dict[str, dict[str, Any]] = {
    "local": {"runtime": "local"},
    "fresh": {"runtime": "local", "isolation": "process"},
    "dragon": {"runtime": "dragon"},
}
EACH_WAY = [pytest.param(way, id=way, marks=[pytest.mark.dragon] * (way == "dragon")) for way in WAYS]


@pytest.fixture(scope="module")
def block(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RhapsodyExecutor]:
    """A block of all runtimes; each starts with the first test that wants it."""
    runtimes = [LocalRuntime(), DragonRuntime(), MPIRuntime()]
    executor = RhapsodyExecutor(label="kept", runtimes=runtimes, default_runtime="local", cores_per_node=2)
    folder = str(tmp_path_factory.mktemp("kept"))
    with parsl.load(Config(executors=[executor], run_dir=folder, initialize_logging=False, strategy="none")):
        yield executor


def folders(executor: RhapsodyExecutor) -> list[Path]:
    place = executor._running_values().place
    return [Path(root, name) for root in (place.memory, place.disk) if root for name in ("data", "0")]


def files(executor: RhapsodyExecutor) -> set[str]:
    """Return what lies in memory and on disk, also what is not whole."""
    return {path.name for folder in folders(executor) if folder.exists() for path in folder.iterdir()}


def nothing_is_left(executor: RhapsodyExecutor) -> None:
    until(lambda: gc.collect() >= 0 and not files(executor), 30)


def only(key: str, executor: RhapsodyExecutor) -> None:
    until(lambda: files(executor) == {key}, 30)


@pytest.mark.parametrize("way", EACH_WAY)
def test_values_are_passed_on_and_one_is_the_drivers(way: str, block: RhapsodyExecutor) -> None:
    keys = WAYS[way]
    small, added, read_only, held = block.submit(keepers.chain, {**keys, "cores": 0}, keys).result(TIMEOUT)
    assert (small, added, read_only) == (2, 6 * COUNT, True)
    kept = held["kept"]
    assert isinstance(kept, Ref)
    only(kept.key, block)
    assert kept.result().sum() == 3 * COUNT
    assert block.submit(references.total, {}, kept).result(TIMEOUT) == 3 * COUNT
    del kept, held
    nothing_is_left(block)


@pytest.mark.mpi
def test_each_rank_keeps_values(block: RhapsodyExecutor) -> None:
    kept = block.submit(keepers.of_a_rank, {"num_ranks": 2}).result(TIMEOUT)
    only(kept.key, block)
    assert kept.result().sum() == 0
    del kept
    nothing_is_left(block)


def test_a_handle_goes_up_from_task_to_task(block: RhapsodyExecutor) -> None:
    kept = block.submit(keepers.handed_up, FREE, 3).result(TIMEOUT)
    assert kept.result().sum() == COUNT
    kept.delete()
    nothing_is_left(block)
    with pytest.raises(DataLost):
        kept.result()


def test_what_a_task_drops_goes_while_it_runs(block: RhapsodyExecutor) -> None:
    folder = str(folders(block)[0])
    left, first, second = block.submit(keepers.drops, FREE, folder).result(TIMEOUT)
    assert left == 0
    assert first.startswith("DataLost: The value of reference 0-put-")
    assert second.startswith("DataLost")
    nothing_is_left(block)


@pytest.mark.parametrize("way", ["local", "fresh"])
def test_nothing_is_left_of_a_parent_that_is_killed(way: str, block: RhapsodyExecutor, tmp_path: Path) -> None:
    future = block.submit(keepers.holds, {**WAYS[way], "cores": 0}, str(tmp_path))
    until((tmp_path / "holder").exists, TIMEOUT)
    assert len(files(block)) == 2
    until(lambda: (tmp_path / "holder").read_text() != "", 30)
    os.kill(int((tmp_path / "holder").read_text()), signal.SIGKILL)
    assert isinstance(future.exception(TIMEOUT), WorkerLost)
    nothing_is_left(block)
    assert isinstance(block.submit(keepers.killed_while_it_puts, WAYS[way]).exception(TIMEOUT), WorkerLost)
    nothing_is_left(block)


def test_a_cancelled_parent_leaves_nothing(block: RhapsodyExecutor, tmp_path: Path) -> None:
    future = block.submit(keepers.holds, FREE, str(tmp_path))
    until((tmp_path / "holder").exists, TIMEOUT)
    future.cancel()
    nothing_is_left(block)


def test_a_named_value_stays_until_it_is_let_go(block: RhapsodyExecutor) -> None:
    said = block.submit(keepers.names, FREE, "put").result(TIMEOUT)
    assert "another value of the block has it" in said
    assert block.submit(keepers.names, FREE, "find").result(TIMEOUT) == f"{COUNT}"
    assert len(files(block)) == 1
    assert block.submit(keepers.names, FREE, "unpin").result(TIMEOUT) == f"{COUNT}"
    nothing_is_left(block)
    with pytest.raises(DataLost, match="no value that a task of this block has put"):
        block.submit(keepers.names, FREE, "find").result(TIMEOUT)


def test_a_task_that_lives_on_has_its_values(block: RhapsodyExecutor, tmp_path: Path) -> None:
    told = tmp_path / "told"
    block.submit(keepers.leaves_to_another, FREE, str(told)).result(TIMEOUT)
    until(lambda: len(files(block)) == 1, 30)
    told.touch()
    until(told.with_suffix(".sum").exists, 30)
    nothing_is_left(block)


def test_an_agent_has_its_values_again_when_it_was_killed(block: RhapsodyExecutor) -> None:
    assert block.submit(keepers.asks_a_keeper, FREE).result(TIMEOUT) == [2 * COUNT, 3 * COUNT, 3 * COUNT, 3 * COUNT]
    nothing_is_left(block)


def test_what_nobody_holds_goes_with_the_block(tmp_path: Path) -> None:
    with RhapsodyExecutor(label="ends", runtimes=[LocalRuntime()], cores_per_node=2) as executor:
        kept = executor.submit(keepers.handed_up, {}, 0).result(TIMEOUT)
        executor.submit(keepers.names, {}, "put").result(TIMEOUT)
        assert len(files(executor)) == 2
        executor.scale_in_facade(1)
        until(lambda: files(executor) == {kept.key}, 30)
        assert kept.result().sum() == COUNT
