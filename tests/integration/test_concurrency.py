"""`Policy(concurrency=n)`: coroutines side by side in one worker, on one lease."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import parsl
import psutil
import pytest
from parsl import Config, python_app
from parsl.executors.errors import InvalidResourceSpecification

from rhapsody_parsl import DragonRuntime, LocalRuntime, RhapsodyExecutor, cancel, stream
from rhapsody_parsl.errors import WalltimeExceeded, WorkerLost
from testing.waiting import until
from tests.integration import apps, beside

TIMEOUT = 60
MANY = {"concurrency": 8}


@pytest.fixture(scope="module")
def block(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RhapsodyExecutor]:
    runtimes = [LocalRuntime(), DragonRuntime()]
    executor = RhapsodyExecutor(runtimes=runtimes, default_runtime="local", cores_per_node=1)
    folder = str(tmp_path_factory.mktemp("concurrency"))
    with parsl.load(Config(executors=[executor], run_dir=folder, initialize_logging=False, strategy="none")):
        yield executor


def many(function: Any, *calls: tuple[Any, ...], **keys: Any) -> list[Any]:
    """Call an app with each of these arguments, side by side."""
    app = python_app(function)
    return [app(*call, parsl_resource_specification={**MANY, **keys}) for call in calls]


@pytest.mark.parametrize("runtime", ["local", pytest.param("dragon", marks=pytest.mark.dragon)])
def test_they_are_there_at_once_in_one_process(runtime: str, block: RhapsodyExecutor) -> None:
    """Ten that wait for eight of them, and two more: which come to the places of those that have left."""
    futures = many(beside.meet, *[(8,)] * 8, runtime=runtime) + many(beside.nap, (0,), (0,), runtime=runtime)
    values = [future.result(TIMEOUT) for future in futures]
    assert {value[1] for value in values[:8]} == {8}
    assert len({value[0] for value in values[:8]}) == 1
    assert values[8:] == [0, 0]


def test_places_are_filled_as_they_become_free(block: RhapsodyExecutor) -> None:
    """Seven stay; sixteen pass through the last place."""
    stay = many(beside.nap, *[(1000,)] * 7)
    pass_through = many(beside.nap, *[(0.01,)] * 16)
    assert [future.result(TIMEOUT) for future in pass_through] == [0.01] * 16
    assert all(cancel(future) for future in stay)
    assert block.submit(apps.add, {}, 1).result(TIMEOUT) == 2, "the core is free"


def test_each_ends_as_it_ends(block: RhapsodyExecutor) -> None:
    (good,) = many(beside.nap, (0.3,))
    (bad,) = many(beside.fails, (0.1,))
    (gone,) = many(beside.leaves, ())
    (late,) = many(beside.nap, (100,), walltime=0.3)
    with pytest.raises(KeyError, match="one of them"):
        bad.result(TIMEOUT)
    with pytest.raises(WorkerLost, match=r"called sys.exit\(3\)"):
        gone.result(TIMEOUT)
    with pytest.raises(WalltimeExceeded):
        late.result(TIMEOUT)
    assert good.result(TIMEOUT) == 0.3


def test_one_is_cancelled_and_the_others_go_on(block: RhapsodyExecutor) -> None:
    futures = many(beside.nap, (100,), (0.5,), (0.5,))
    assert many(beside.nap, (0,))[0].result(TIMEOUT) == 0, "they have begun"
    assert cancel(futures[0])
    with pytest.raises(CancelledError):
        futures[0].result(TIMEOUT)
    assert [future.result(TIMEOUT) for future in futures[1:]] == [0.5, 0.5]
    assert block.submit(apps.add, {}, 1).result(TIMEOUT) == 2, "the core is free"


def test_one_that_does_not_heed_it_takes_the_others_with_it(block: RhapsodyExecutor) -> None:
    (deaf,) = many(beside.swallows, (100,))
    (other,) = many(beside.swallows, (100,))
    assert many(beside.swallows, (0,))[0].result(TIMEOUT) == "late", "they have begun"
    assert cancel(deaf)
    with pytest.raises(WorkerLost, match="did not heed being cancelled"):
        other.result(TIMEOUT)


def test_pieces_of_several(block: RhapsodyExecutor) -> None:
    async def read(future: Any) -> list[int]:
        return [piece async for piece in stream(future)]

    async def main() -> list[list[int]]:
        return await asyncio.gather(*map(read, many(beside.gives, *[(50,)] * 4)))

    assert asyncio.run(main()) == [list(range(50))] * 4


def test_env_and_cwd_are_those_of_all(block: RhapsodyExecutor, tmp_path: Path) -> None:
    futures = many(beside.says_where, (), (), env={"WORD": "a"}, cwd=str(tmp_path))
    assert {future.result(TIMEOUT) for future in futures} == {(str(tmp_path), "a")}
    where, word = block.submit(apps.where_and_word, {}).result(TIMEOUT)
    assert (where != str(tmp_path), word) == (True, "")


def test_what_they_start_ends_with_the_last_of_them(block: RhapsodyExecutor) -> None:
    (program,) = many(beside.starts_a_program, ())
    pid = program.result(TIMEOUT)
    until(lambda: not psutil.pid_exists(pid))


@pytest.mark.parametrize(
    ("function", "keys", "sentence"),
    [
        (apps.add, {}, "only `async def` apps run side by side"),
        (beside.nap, {"isolation": "process"}, "the worker's process is shared by 8 apps"),
        (beside.nap, {"sandbox": True}, "the worker's process is shared by 8 apps"),
        (beside.nap, {"signal": "SIGUSR1"}, "the worker's process is shared by 8 apps"),
        (beside.nap, {"concurrency": 0}, "the smallest is 1"),
        (beside.nap, {"concurrency": 10_001}, "the largest is 10000"),
    ],
)
def test_what_does_not_go_together(function: Any, keys: dict[str, Any], sentence: str, block: RhapsodyExecutor) -> None:
    with pytest.raises(InvalidResourceSpecification, match=sentence):
        block.submit(function, {**MANY, **keys}, 1)
