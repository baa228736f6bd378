"""Apps that give pieces before their end, on each way that a task's process comes to be."""

import asyncio
import pickle
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError
from itertools import islice
from pathlib import Path
from typing import Any

import parsl
import pytest
from parsl import Config, python_app
from parsl.executors.errors import InvalidResourceSpecification
from parsl.executors.threads import ThreadPoolExecutor

from rhapsody_parsl import DragonRuntime, LocalRuntime, MPIRuntime, RhapsodyExecutor, cancel, stream
from rhapsody_parsl.errors import NoStream, PayloadError, StreamRestarted, WorkerLost
from rhapsody_parsl.executors import launches
from rhapsody_parsl.wire.piece_messages import AHEAD
from testing.waiting import until
from tests.integration import apps, streamed

TIMEOUT = 60
WAYS: dict[str, dict[str, Any]] = {
    "local": {"runtime": "local"},
    "local, fresh": {"runtime": "local", "isolation": "process"},
    "dragon": {"runtime": "dragon"},
    "ranks": {"num_ranks": 2},
    "ranks, fresh": {"num_ranks": 2, "isolation": "process"},
    "launch": {"runtime": "mpi", "num_ranks": 1},
}
MARKS = {
    "dragon": pytest.mark.dragon,
    "ranks": pytest.mark.mpi,
    "ranks, fresh": pytest.mark.mpi,
    "launch": pytest.mark.mpi,
}
EACH_WAY = [pytest.param(way, id=way, marks=MARKS.get(way, ())) for way in WAYS]


@pytest.fixture(scope="module")
def block(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RhapsodyExecutor]:
    """A block of all runtimes; each starts with the first test that wants it."""
    runtimes = [LocalRuntime(), DragonRuntime(), MPIRuntime()]
    executor = RhapsodyExecutor(label="all", runtimes=runtimes, default_runtime="local", cores_per_node=2)
    folder = str(tmp_path_factory.mktemp("streams"))
    executors = [executor, ThreadPoolExecutor(label="threads", max_threads=1)]
    with parsl.load(Config(executors=executors, run_dir=folder, initialize_logging=False, strategy="none", retries=1)):
        yield executor


def app(function: Any) -> Any:
    return python_app(function, executors=["all"])


@pytest.mark.parametrize("way", EACH_WAY)
def test_pieces_come_in_order_and_then_the_result(way: str, block: RhapsodyExecutor) -> None:
    function = streamed.Giver().method if way == "launch" else streamed.numbers
    future = block.submit(function, dict(WAYS[way]), 3 * AHEAD)
    ranks = WAYS[way].get("num_ranks", 1)
    assert list(stream(future)) == [ranks * number for number in range(3 * AHEAD)]
    assert future.result(TIMEOUT) == (None if way == "launch" else 3 * AHEAD)


@pytest.mark.parametrize("way", EACH_WAY)
def test_a_reader_that_leaves_stops_the_generator(way: str, block: RhapsodyExecutor, tmp_path: Path) -> None:
    said = tmp_path / "said"
    future = block.submit(streamed.without_end, dict(WAYS[way]), str(said))
    assert list(islice(stream(future), 3)) == [1, 2, 3]
    assert future.result(TIMEOUT) is None
    ranks = range(WAYS[way]["num_ranks"]) if "num_ranks" in WAYS[way] else [""]
    given = {int(Path(f"{said}{rank}").read_text()) for rank in ranks}
    assert len(given) == 1
    assert given.pop() >= 3


@pytest.mark.mpi
def test_the_first_rank_leads(block: RhapsodyExecutor) -> None:
    ranks = {"num_ranks": 2, "returns": "all"}
    assert list(stream(block.submit(streamed.of_unequal_ranks, ranks))) == [0, 1, 2]
    pieces = stream(block.submit(streamed.with_one_rank_that_fails, ranks))
    with pytest.raises(KeyError, match="rank 1"):
        list(pieces)
    assert list(stream(block.submit(streamed.of_unequal_ranks, ranks))) == [0, 1, 2]


@pytest.mark.parametrize("form", streamed.FORMS)
def test_each_form_of_an_app(form: str, block: RhapsodyExecutor) -> None:
    assert list(stream(app(streamed.FORMS[form])(5))) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("way", ["local", "local, fresh"])
def test_pieces_leave_as_they_come(way: str, block: RhapsodyExecutor, tmp_path: Path) -> None:
    """The second piece is given once the first was read."""
    read = tmp_path / "read"
    pieces = stream(block.submit(streamed.when_read, dict(WAYS[way]), str(read)))
    assert next(pieces) == 1
    read.touch()
    assert list(pieces) == [2]


def test_the_stream_ends_with_the_result_of_the_generator(block: RhapsodyExecutor) -> None:
    def all_of(pieces: Any) -> Any:
        returned.append((yield from pieces))

    returned: list[Any] = []
    assert list(all_of(stream(app(streamed.numbers)(3)))) == [0, 1, 2]
    assert returned == [3]


def test_async_for_reads_several_side_by_side(block: RhapsodyExecutor) -> None:
    async def read(future: Any) -> list[int]:
        return [piece async for piece in stream(future)]

    async def main() -> list[list[int]]:
        async with asyncio.timeout(TIMEOUT):
            return await asyncio.gather(*(read(app(streamed.awaited_numbers)(100)) for _ in range(2)))

    assert asyncio.run(main()) == [list(range(100))] * 2


def test_a_callback_is_called_with_each_piece(block: RhapsodyExecutor) -> None:
    heard: list[int] = []
    enough = threading.Event()

    def hear(piece: int) -> None:
        heard.append(piece)
        if piece == 99:
            enough.set()
        if piece % 50 == 0:
            raise RuntimeError("a callback of the user's, which stops nothing")

    future = app(streamed.numbers)(100)
    stream(future, hear)
    assert future.result(TIMEOUT) == 100
    assert enough.wait(TIMEOUT)
    assert heard == list(range(100))


@pytest.mark.parametrize("function", [streamed.without_end, streamed.without_end_awaited])
def test_a_generator_nobody_reads_waits(function: Any, block: RhapsodyExecutor, tmp_path: Path) -> None:
    said = tmp_path / "said"
    future = block.submit(function, {}, str(said))
    until(lambda: future.tray.came == AHEAD)  # type: ignore[attr-defined]  # a task's
    other = block.submit(apps.add, {}, 1)  # its core is not needed for this one
    assert other.result(TIMEOUT) == 2
    assert len(future.tray) == AHEAD  # type: ignore[attr-defined]  # as above
    with stream(future) as pieces:
        assert next(pieces) == 1
    assert future.result(TIMEOUT) is None
    assert int(said.read_text()) < 3 * AHEAD


def test_large_pieces_are_held_back_by_their_bytes(block: RhapsodyExecutor) -> None:
    future: Any = block.submit(streamed.large, {}, 8, 3_000_000)
    until(lambda: future.tray.came == 2)
    assert block.submit(apps.add, {}, 1).result(TIMEOUT) == 2
    assert future.tray.came == 2
    assert [piece[:1] for piece in stream(future)] == [bytes([number]) for number in range(8)]


def test_what_is_raised_comes_after_the_pieces_before_it(block: RhapsodyExecutor) -> None:
    pieces = stream(block.submit(streamed.then_fails, {}, 3))
    assert list(islice(pieces, 3)) == [0, 1, 2]
    with pytest.raises(KeyError, match="after them"):
        next(pieces)
    assert list(pieces) == [], "it is over"


def test_a_piece_that_cannot_be_pickled(block: RhapsodyExecutor) -> None:
    pieces = stream(block.submit(streamed.unpicklable, {}))
    assert next(pieces) == 1
    next(pieces)
    with pytest.raises(PayloadError, match="The task's piece could not be serialized"):
        next(pieces)


def test_a_worker_that_dies_takes_the_stream_with_it(block: RhapsodyExecutor) -> None:
    pieces = stream(block.submit(streamed.then_dies, {}, 3))
    assert list(islice(pieces, 3)) == [0, 1, 2]
    with pytest.raises(WorkerLost):
        next(pieces)


@pytest.mark.parametrize("again", ["parsl", "block"])
def test_a_task_that_runs_again_says_so(again: str, block: RhapsodyExecutor, tmp_path: Path) -> None:
    keys = {"on_loss": "rerun"} if again == "block" else {}
    future = app(streamed.then_dies)(3, str(tmp_path / "died"), parsl_resource_specification=keys)
    pieces = stream(future)
    assert list(islice(pieces, 3)) == [0, 1, 2]
    with pytest.raises(StreamRestarted) as caught:
        next(pieces)
    assert caught.value.pieces == 3
    assert list(stream(future)) == [0, 1, 2]


@pytest.mark.parametrize("again", ["parsl", "block"])
def test_a_callback_hears_the_pieces_of_each_try(again: str, block: RhapsodyExecutor, tmp_path: Path) -> None:
    keys = {"on_loss": "rerun"} if again == "block" else {}
    future = app(streamed.then_dies)(3, str(tmp_path / "died"), parsl_resource_specification=keys)
    heard: list[int] = []
    stream(future, heard.append)
    assert future.result(TIMEOUT) is None
    until(lambda: heard == [0, 1, 2, 0, 1, 2])


def test_nobody_hears_of_a_try_that_nobody_has_read(block: RhapsodyExecutor, tmp_path: Path) -> None:
    died = tmp_path / "died"
    future = app(streamed.then_dies)(3, str(died))
    until(died.exists)
    until(future.done)
    assert list(stream(future)) == [0, 1, 2]


def test_a_stream_waits_for_what_its_app_waits_for(block: RhapsodyExecutor) -> None:
    pieces = stream(app(streamed.numbers)(app(streamed.after)(0.2, 3)))
    assert list(pieces) == [0, 1, 2]


def test_what_has_no_stream_says_so(block: RhapsodyExecutor) -> None:
    for future, why in (
        (app(apps.add)(1), "it is no generator"),
        (python_app(apps.add, executors=["threads"])(1), "another executor"),
        ("a string", "it is a str"),
    ):
        with pytest.raises(NoStream, match=why):
            list(stream(future))  # type: ignore[arg-type]  # as users may


def test_a_stream_has_one_reader_and_stays_where_it_is(block: RhapsodyExecutor) -> None:
    future = block.submit(streamed.numbers, {}, 3)
    with stream(future) as pieces:
        next(pieces)
        with pytest.raises(NoStream, match="a stream has one reader"):
            next(stream(future))
        assert next(pieces) == 1
        with pytest.raises(NoStream, match="a stream has one reader"):
            next(stream(future))
        with pytest.raises(TypeError, match="is read where it was made"):
            pickle.dumps(pieces)
        assert list(pieces) == [2]
    with pytest.raises(NoStream, match="its pieces have been read"):
        list(stream(future))


@pytest.mark.parametrize("keys", [{"isolation": "process"}, {}])
def test_cancelled_by_parsls_future(keys: dict[str, Any], block: RhapsodyExecutor, tmp_path: Path) -> None:
    """Running, queued, and not yet launched; Parsl has a try left, and does not take it."""
    full = {**keys, "cores": 2}
    running = app(streamed.without_end)(str(tmp_path / "said"), parsl_resource_specification=full)
    queued = app(apps.nap)(0, parsl_resource_specification=full)
    waits = app(apps.add)(queued, parsl_resource_specification=full)
    pieces = stream(running)
    assert next(pieces) == 1
    assert all(cancel(future) for future in (waits, queued, running))
    for future in (running, queued):
        with pytest.raises(CancelledError):
            future.result(TIMEOUT)
    with pytest.raises(CancelledError):
        list(pieces)
    assert waits.exception(TIMEOUT) is not None
    assert not cancel(running), "it has ended"
    assert app(apps.add)(1).result(TIMEOUT) == 2


def test_what_can_give_no_pieces_is_refused(block: RhapsodyExecutor) -> None:
    with pytest.raises(InvalidResourceSpecification, match="Parsl holds no generator to the time"):
        app(streamed.numbers)(1, walltime=1).result(TIMEOUT)
    with pytest.raises(InvalidResourceSpecification, match="a generator is no bash app"):
        parsl.bash_app(streamed.numbers, executors=["all"])(1).result(TIMEOUT)


def test_nothing_is_kept_of_a_stream(block: RhapsodyExecutor) -> None:
    list(stream(app(streamed.numbers)(2)))
    until(lambda: not launches._watched)
