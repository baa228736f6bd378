"""`memory=` is kept to: a task that takes more is killed alone, and is told its peak."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import parsl
import psutil
import pytest
from parsl import Config, bash_app, python_app

from rhapsody_parsl import MPI, DragonRuntime, LocalRuntime, MPIRuntime, RhapsodyExecutor, annotate
from rhapsody_parsl.errors import MemoryExceeded
from testing.waiting import until

TIMEOUT = 90
LIMIT = 0.3
GREED = 1.5
GREEDY = 8
PROGRAM = "import time; x = bytearray({size}); time.sleep(60)"


def grow(gigabytes: float, child: bool = False) -> int:
    """Hold so much for a while, step by step, itself or in a child."""
    import subprocess
    import sys
    import time

    held = []
    if child:
        subprocess.run([sys.executable, "-c", f"x = bytes(int({gigabytes * 1e9})).upper()"], check=False)
    for _ in range(round(gigabytes / 0.05)):
        held.append(bytearray(50_000_000))
        time.sleep(0.005)
    time.sleep(1)
    return len(held)


def grow_at_once(gigabytes: float) -> int:
    """Take all with one call, under Python's lock, for some time."""
    return len(bytes(int(gigabytes * 1e9)).replace(b"\0", b"\1"))


def keep(gigabytes: float) -> int:
    """Leave so much in the worker."""
    import builtins
    import os

    builtins.kept = bytearray(int(gigabytes * 1e9))  # type: ignore[attr-defined]  # where nobody clears it
    return os.getpid()


def modest(number: int) -> int:
    import time

    held = bytearray(50_000_000)
    time.sleep(1)
    return number + len(held) - 50_000_000


def one_rank_grows(gigabytes: float, comm: Any = None) -> Any:
    import time

    held = bytearray(int(gigabytes * 1e9)) if comm.rank == 1 else b""
    time.sleep(1)
    return comm.gather(len(held))


def launch(program: str, stdout: Any = None) -> str:
    return f"$PARSL_MPI_PREFIX python -c '{program}'"


def watches() -> list[psutil.Process]:
    below = psutil.Process().children(recursive=True)
    return [process for process in below if "rhapsody_parsl.runtimes.memory_watch" in process.cmdline()[:3]]


@pytest.fixture
def load(tmp_path: Path) -> Any:
    def start(runtimes: list[Any], **settings: Any) -> Any:
        executor = RhapsodyExecutor(label="memory", runtimes=runtimes, cores_per_node=16, mem_per_node=8, **settings)
        return parsl.load(Config(executors=[executor], run_dir=str(tmp_path), initialize_logging=False))

    return start


RUNTIMES: dict[str, Callable[[], list[Any]]] = {
    "local": lambda: [LocalRuntime(), MPIRuntime()],
    "dragon": lambda: [DragonRuntime(), MPIRuntime()],
}


def check_alone(greedy: list[Any], honest: list[Any]) -> None:
    for future in greedy:
        error = future.exception(TIMEOUT)
        assert isinstance(error, MemoryExceeded), repr(error)
        limit, peak, _ = error.args
        assert limit == pytest.approx(LIMIT)
        assert limit < peak < GREED + 0.5
    assert [future.result(TIMEOUT) for future in honest] == list(range(len(honest)))


@pytest.mark.parametrize("runtime", ["local", pytest.param("dragon", marks=pytest.mark.dragon)])
def test_greedy_tasks_are_killed_alone(load: Any, runtime: str) -> None:
    """Eight of them, step by step, in a child, and with one call, beside honest ones."""
    shared = {"memory": LIMIT, "on_loss": "rerun"}  # which is of no use here
    ways: Any = itertools.cycle([(grow, False), (grow, True), (grow_at_once,)])
    with load(RUNTIMES[runtime]()):
        greedy: list[Any] = []
        honest: list[Any] = []
        for spec in (shared, {**shared, "isolation": "process"}):
            for way, *rest in itertools.islice(ways, GREEDY // 2):
                greedy.append(python_app(way)(GREED, *rest, parsl_resource_specification=spec))
            honest += [python_app(modest)(len(honest) + n, parsl_resource_specification=spec) for n in range(2)]
        check_alone(greedy, honest)


def test_what_an_earlier_task_left_is_not_blamed_on_the_next(load: Any) -> None:
    with load([LocalRuntime()]):
        first = python_app(keep)(0.5).result(TIMEOUT)
        second = python_app(keep)(0.01, parsl_resource_specification={"memory": LIMIT}).result(TIMEOUT)
        assert first != second
        assert python_app(keep)(0.01, parsl_resource_specification={"memory": LIMIT}).result(TIMEOUT) == second


def nothing(number: int) -> int:
    return number


def test_each_of_many_limits_is_kept_to(load: Any) -> None:
    """Short tasks with a limit each share a lease; one among them that grows is judged by its own limit."""
    with load([LocalRuntime()]):
        assert python_app(nothing)(0, parsl_resource_specification={"memory": LIMIT}).result(TIMEOUT) == 0
        limits = [0.29 + number / 50_000 for number in range(400)]
        futures = [
            python_app(grow if number == 200 else nothing)(GREED if number == 200 else number,
                       parsl_resource_specification={"memory": limit})
            for number, limit in enumerate(limits)
        ]  # fmt: skip
        error = futures.pop(200).exception(TIMEOUT)
        assert isinstance(error, MemoryExceeded), repr(error)
        assert error.args[0] == pytest.approx(limits[200], abs=1e-9)
        assert [future.result(TIMEOUT) for future in futures] == [n for n in range(400) if n != 200]


@pytest.mark.mpi
def test_greedy_ranks_and_launches_are_killed_alone(load: Any) -> None:
    two = annotate(MPI(ranks=2, memory=LIMIT))
    with load([LocalRuntime(), MPIRuntime()]) as kernel:
        program = PROGRAM.format(size=int(GREED * 1e9))
        greedy = [python_app(two(one_rank_grows))(GREED) for _ in range(3)]
        greedy += [bash_app(two(launch))(program) for _ in range(3)]
        honest = [python_app(modest)(n, parsl_resource_specification={"memory": LIMIT}) for n in range(2)]
        ranks = [python_app(two(one_rank_grows))(0.05) for _ in range(2)]
        check_alone(greedy, honest)
        assert [future.result(TIMEOUT) for future in ranks] == [[0, 50_000_000]] * 2
        assert kernel.executors["memory"].snapshot()["blocks"]


def test_a_watch_that_was_killed_is_started_again(load: Any) -> None:
    spec = {"memory": LIMIT}
    with load([LocalRuntime()]):
        assert python_app(modest)(0, parsl_resource_specification=spec).result(TIMEOUT) == 0
        until(watches, TIMEOUT)
        for process in watches():
            process.kill()
        assert isinstance(
            python_app(grow)(3 * GREED, parsl_resource_specification=spec).exception(TIMEOUT), MemoryExceeded
        )


def test_it_can_be_switched_off(load: Any) -> None:
    with load([LocalRuntime()], enforce_memory=False):
        assert python_app(grow)(0.6, parsl_resource_specification={"memory": LIMIT}).result(TIMEOUT) == 12
