"""Data by reference: values stay on their host, arrays are read in place, and nothing is left that nobody needs."""

import gc
import logging
import os
import pickle
import signal
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy
import parsl
import pytest
from parsl import Config, python_app
from parsl.executors.errors import InvalidResourceSpecification
from parsl.providers import LocalProvider

from rhapsody_parsl import Dragon, DragonRuntime, LocalRuntime, MPIRuntime, Policy, Ref, RhapsodyExecutor, annotate
from rhapsody_parsl.data.layout import BEFORE
from rhapsody_parsl.errors import BlockLost, DataLost, InvalidTask, WorkerLost
from testing.processes import processes_of
from testing.waiting import until
from tests.integration import apps, references

TIMEOUT = 60
COUNT = 100_000
KEPT = {"result": "reference"}
WAYS: dict[str, dict[str, Any]] = {
    "local": {"runtime": "local"},
    "local, fresh": {"runtime": "local", "isolation": "process"},
    "dragon": {"runtime": "dragon"},
}
EACH_WAY = [pytest.param(way, id=way, marks=[pytest.mark.dragon] * (way == "dragon")) for way in WAYS]


@pytest.fixture(scope="module", autouse=True)
def no_debug() -> Iterator[None]:
    """Pytest keeps what Parsl logs for debugging, once another test has turned that on; it has futures in it."""
    logger = logging.getLogger("parsl")
    before = logger.level
    logger.setLevel(logging.INFO)
    yield
    logger.setLevel(before)


@pytest.fixture(scope="module")
def block(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RhapsodyExecutor]:
    """A block of all runtimes; each starts with the first test that wants it."""
    runtimes = [LocalRuntime(), DragonRuntime(), MPIRuntime()]
    executor = RhapsodyExecutor(label="all", runtimes=runtimes, default_runtime="local", cores_per_node=2)
    folder = str(tmp_path_factory.mktemp("references"))
    config = Config(executors=[executor], run_dir=folder, initialize_logging=False, strategy="none", retries=1)
    with parsl.load(config):
        yield executor


def files(executor: RhapsodyExecutor) -> set[str]:
    """Return what lies in memory and on disk, but for payloads on their way."""
    assert executor._values is not None
    roots = (executor._shared.path, executor._values.place.disk)
    found = {Path(folder, name) for root in roots for folder, _, names in os.walk(root) for name in names}
    return {f"{path.parent.name}/{path.name}" for path in found if not path.name.startswith(".")}


def left_nothing(executor: RhapsodyExecutor) -> None:
    def nothing() -> bool:
        gc.collect()  # each time: a thread of Parsl's may hold the ring of a future for a moment longer
        return not files(executor) and not executor.references()

    until(nothing, 10)


@pytest.mark.parametrize("way", EACH_WAY)
def test_a_result_stays_and_becomes_the_value_where_it_is_used(way: str, block: RhapsodyExecutor) -> None:
    kept = block.submit(references.ones, WAYS[way] | KEPT, COUNT).result(TIMEOUT)
    assert isinstance(kept, Ref)
    assert kept.size >= 8 * COUNT
    assert len(files(block)) == 1
    value = kept.result()
    assert (value.sum(), value.flags.writeable) == (COUNT, False)
    given = block.put(numpy.ones(COUNT))
    nested = block.submit(references.total, WAYS[way], kept, [given, {"a": (kept,)}], more={"b": [given]})
    assert nested.result(TIMEOUT) == 4 * COUNT
    assert block.submit(references.is_read_only, WAYS[way], given).result(TIMEOUT)
    del kept, given, nested
    assert value.sum() == COUNT, "who looks at it keeps it"
    left_nothing(block)


@pytest.mark.mpi
def test_ranks_take_and_give_them(block: RhapsodyExecutor) -> None:
    given = block.put(numpy.ones(COUNT))
    kept = block.submit(references.of_a_gang, {"num_ranks": 2, **KEPT}, given).result(TIMEOUT)
    assert isinstance(kept, Ref)
    assert kept.result().sum() == 2 * COUNT
    assert len(files(block)) == 2, "the first rank's, and what it was made of"
    del given, kept
    left_nothing(block)


@pytest.mark.parametrize("keys", [{}, {"isolation": "process"}, pytest.param({"num_ranks": 2}, marks=pytest.mark.mpi)])
def test_an_array_that_was_made_in_place_stays_there(block: RhapsodyExecutor, keys: dict[str, Any]) -> None:
    kept = block.submit(references.in_place, {**keys, **KEPT}, COUNT).result(TIMEOUT)
    assert kept.result().sum() == 2 * COUNT
    assert kept.size == 8 * COUNT + BEFORE, "what was made is what is kept"
    del kept
    left_nothing(block)


@pytest.mark.parametrize("keys", [{}, {"concurrency": 4}])
def test_that_of_a_coroutine_stays(block: RhapsodyExecutor, keys: dict[str, Any]) -> None:
    futures = [block.submit(references.later, {**keys, **KEPT}, COUNT) for _ in range(4)]
    kept = [future.result(TIMEOUT) for future in futures]
    assert len({ref.key for ref in kept}) == 4
    assert block.submit(references.total, {}, kept).result(TIMEOUT) == 4 * COUNT
    del futures, kept
    left_nothing(block)


def test_apps_hand_them_on_by_their_futures(block: RhapsodyExecutor) -> None:
    make = python_app(annotate(Dragon(), Policy(result="reference", reference_above="100 kB"))(references.ones))
    total = python_app(references.total)
    small, large = make(10), make(COUNT)
    assert total(small, large, more=large).result(TIMEOUT) == 10 + 2 * COUNT
    assert isinstance(small.result(), numpy.ndarray)
    assert isinstance(large.result(), Ref)
    del small, large
    left_nothing(block)


def test_a_task_keeps_what_it_uses(block: RhapsodyExecutor, tmp_path: Path) -> None:
    told = str(tmp_path / "told")
    busy = [block.submit(references.wait_for, {}, told, numpy.ones(1)) for _ in range(2)]
    future = block.submit(references.total, {}, block.put(numpy.ones(COUNT)))
    gc.collect()
    assert len(files(block)) == 1
    Path(told).touch()
    assert future.result(TIMEOUT) == COUNT
    assert [each.result(TIMEOUT) for each in busy] == [1, 1]
    left_nothing(block)


def test_a_cancelled_task_keeps_nothing(block: RhapsodyExecutor, tmp_path: Path) -> None:
    given = block.put(numpy.ones(COUNT))
    running = block.submit(references.wait_for, dict(KEPT), str(tmp_path / "never"), given)
    assert running.cancel()
    del given
    left_nothing(block)


def test_deleted_it_is_gone_for_all(block: RhapsodyExecutor, tmp_path: Path) -> None:
    told = str(tmp_path / "told")
    given = block.put(numpy.ones(COUNT), "model")
    busy = [block.submit(references.wait_for, {}, told, numpy.ones(1)) for _ in range(2)]
    late = block.submit(references.total, {}, given)
    given.delete()
    given.delete()
    Path(told).touch()
    with pytest.raises(DataLost, match="reference model"):
        late.result(TIMEOUT)
    with pytest.raises(DataLost, match="deleted"):
        block.submit(references.total, {}, given)
    with pytest.raises(DataLost):
        given.result()
    with pytest.raises(DataLost):
        given.pin()
    assert [each.result(TIMEOUT) for each in busy] == [1, 1]
    left_nothing(block)


def test_one_that_its_user_pickles_is_no_argument_of_the_next_call(block: RhapsodyExecutor) -> None:
    ref = block.put(1)
    pickle.dumps(ref)
    ref.delete()
    assert block.submit(len, {}, "abc").result(TIMEOUT) == 3


def test_a_pinned_one_is_found_by_its_label(block: RhapsodyExecutor) -> None:
    block.put([1, 2], "list", pinned=True)
    gc.collect()
    with pytest.raises(InvalidTask, match="another value has it"):
        block.put(7, "list")
    assert [(entry.label, entry.pinned, entry.handles) for entry in block.references()] == [("list", True, 0)]
    found = block.reference("list")
    assert found.result() == [1, 2]
    found.pin(False)
    del found
    left_nothing(block)
    with pytest.raises(DataLost, match="reference list"):
        block.reference("list")


def test_a_worker_that_is_killed_while_it_writes_leaves_nothing(block: RhapsodyExecutor, tmp_path: Path) -> None:
    keys = {"runtime": "local", **KEPT}
    lost = block.submit(references.killed_while_it_writes, keys, COUNT, str(tmp_path / "told"))
    assert isinstance(lost.exception(TIMEOUT), WorkerLost)
    left_nothing(block)
    again = block.submit(references.killed_while_it_writes, keys | {"on_loss": "rerun"}, COUNT, str(tmp_path / "other"))
    kept = again.result(TIMEOUT)
    assert kept.result().sum() == COUNT
    assert len(files(block)) == 1
    del again, kept
    left_nothing(block)


@pytest.mark.parametrize("keys", [
    {"result": "elsewhere"}, {"reference_above": "10 MB"}, {**KEPT, "reference_above": "much"},
    {**KEPT, "num_ranks": 2, "returns": "all"},
])  # fmt: skip
def test_what_cannot_be_is_refused(block: RhapsodyExecutor, keys: dict[str, Any]) -> None:
    with pytest.raises(InvalidResourceSpecification):
        block.submit(references.of_a_gang, keys, 1)


@pytest.mark.usefixtures("elsewhere")
def test_values_outlive_their_block_and_go_with_the_executor() -> None:
    provider = LocalProvider(init_blocks=1, max_blocks=2)
    with RhapsodyExecutor(runtimes=[LocalRuntime()], provider=provider, reference_memory=1e-3) as executor:
        kept = executor.submit(references.ones, dict(KEPT), COUNT).result(TIMEOUT)
        other = executor.put(numpy.ones(COUNT))  # beyond the budget: the first goes to the disk
        lost = executor.submit(apps.nap_over, {}, 100, kept)
        os.kill(processes_of("rhapsody_parsl.pilot")[0].pid, signal.SIGKILL)
        assert isinstance(lost.exception(TIMEOUT), BlockLost)
        executor.scale_out_facade(1)
        assert executor.submit(references.total, {}, kept, other).result(TIMEOUT) == 2 * COUNT
        waits: Future[Any] = executor.submit(references.total, {}, kept)
        assert waits.result(TIMEOUT) == COUNT
    with pytest.raises(DataLost, match="shut down"):
        kept.result()
