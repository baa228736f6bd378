"""`memory=` is kept to: a task that takes more is killed alone, and is told its peak."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import parsl
import psutil
import pytest
from parsl import Config, bash_app, python_app

from rhapsody_parsl import (
    MPI,
    DragonRuntime,
    LocalRuntime,
    MPIRuntime,
    RhapsodyExecutor,
    VLLMService,
    annotate,
)
from rhapsody_parsl.errors import MemoryExceeded, RequestKilledEngine
from testing.fake_openai import COMMAND
from testing.processes import processes_of
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


def keep_more(gigabytes: float, hold: float = 0.0) -> int:
    """Leave so much more in the worker, and hold something beside it."""
    import builtins
    import os
    import time

    builtins.kept = [*getattr(builtins, "kept", []), bytearray(int(gigabytes * 1e9))]  # type: ignore[attr-defined]  # as above
    held = bytearray(int(hold * 1e9))
    time.sleep(0.1 if held else 0)
    return os.getpid()


def fork_over(gigabytes: float, children: int) -> int:
    """Have children that only read what they share with us, for a while."""
    import os
    import time

    held = bytearray(int(gigabytes * 1e9))
    pids = []
    for _ in range(children):
        if not (pid := os.fork()):
            time.sleep(1)
            os._exit(sum(held[::4096]))
        pids.append(pid)
    return sum(os.waitpid(pid, 0)[1] for pid in pids)


def leave_to_a_daemon(gigabytes: float) -> None:
    """Have a grandchild in a session of its own hold it."""
    import os
    import time

    if not os.fork():
        os.setsid()
        if not os.fork():
            held = bytearray(int(gigabytes * 1e9))
            time.sleep(60 if held else 0)
        os._exit(0)
    time.sleep(20)


def hold_on(gigabytes: float) -> None:
    import time

    held = bytearray(int(gigabytes * 1e9))
    time.sleep(20 if held else 0)


def prompt(text: str) -> str:
    return text


def share(gigabytes: float) -> int:
    """Hold it in shared memory."""
    import time
    from multiprocessing.shared_memory import SharedMemory

    memory = SharedMemory(create=True, size=int(gigabytes * 1e9))
    memory.unlink()
    pages = memory.buf or memoryview(b"")
    for place in range(0, memory.size, 4096):
        pages[place] = 1
    time.sleep(20)
    return memory.size


def shell(gigabytes: float) -> str:
    return f"python -c 'import time; x = bytearray(int({gigabytes} * 1e9)); time.sleep(20)'"


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
    return processes_of("rhapsody_parsl.runtimes.memory_watch")


@pytest.fixture
def load(tmp_path: Path) -> Any:
    def start(runtimes: list[Any], **settings: Any) -> Any:
        settings = {"cores_per_node": 16, "mem_per_node": 8, **settings}
        executor = RhapsodyExecutor(label="memory", runtimes=runtimes, **settings)
        return parsl.load(Config(executors=[executor], run_dir=str(tmp_path), initialize_logging=False))

    return start


RUNTIMES: dict[str, Callable[[], list[Any]]] = {
    "local": lambda: [LocalRuntime(), MPIRuntime()],
    "dragon": lambda: [DragonRuntime(), MPIRuntime()],
}


def check_alone(greedy: list[Any], honest: list[Any], most: float = GREED + 0.5) -> None:
    for future in greedy:
        error = future.exception(TIMEOUT)
        assert isinstance(error, MemoryExceeded), repr(error)
        limit, peak, _ = error.args
        assert limit == pytest.approx(LIMIT)
        assert limit < peak < most
    assert [future.result(TIMEOUT) for future in honest] == list(range(len(honest)))


@pytest.mark.parametrize("runtime", ["local", pytest.param("dragon", marks=pytest.mark.dragon)])
def test_greedy_tasks_are_killed_alone(load: Any, runtime: str) -> None:
    """Eight in shared workers and eight in processes of their own, each in its way, beside honest ones."""
    shared = {"memory": LIMIT, "on_loss": "rerun"}  # which is of no use here
    python: list[Any] = [(grow, False), (grow, True), (grow_at_once,), (leave_to_a_daemon,), (share,)]
    with load(RUNTIMES[runtime]()):
        greedy: list[Any] = []
        honest: list[Any] = []
        for spec in (shared, {**shared, "isolation": "process"}):
            for way, *rest in itertools.islice(itertools.cycle(python), GREEDY - 2):
                greedy.append(python_app(way)(GREED, *rest, parsl_resource_specification=spec))
            greedy += [bash_app(shell)(GREED, parsl_resource_specification=spec) for _ in range(2)]
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


def test_what_tasks_leave_one_after_the_other_counts_against_none(load: Any) -> None:
    """Each leaves a quarter of the limit and holds half; when half of it is left, the worker changes."""
    spec = {"memory": LIMIT}
    with load([LocalRuntime()], cores_per_node=1):
        futures = [python_app(keep_more)(LIMIT / 4, LIMIT / 2, parsl_resource_specification=spec) for _ in range(9)]
        pids = [future.result(TIMEOUT) for future in futures]
        assert 2 < len(set(pids)) < 9
        error = python_app(grow)(LIMIT + 0.1, parsl_resource_specification=spec).exception(TIMEOUT)
        assert isinstance(error, MemoryExceeded), "there is no more room than that"


@pytest.mark.mpi
def test_what_tasks_leave_in_ranks_counts_against_none(load: Any) -> None:
    def leave(gigabytes: float, comm: Any = None) -> Any:
        import builtins

        builtins.kept = bytearray(int(gigabytes * 1e9))  # type: ignore[attr-defined]  # where nobody clears it
        return comm.allreduce(1)

    with load([MPIRuntime()]):
        assert python_app(annotate(MPI(ranks=2))(leave))(2 * LIMIT).result(TIMEOUT) == 2
        limited = annotate(MPI(ranks=2, memory=LIMIT))
        assert python_app(limited(one_rank_grows))(LIMIT * 0.7).result(TIMEOUT) == [0, int(LIMIT * 0.7 * 1e9)]
        assert isinstance(python_app(limited(one_rank_grows))(LIMIT + 0.1).exception(TIMEOUT), MemoryExceeded)


def test_pages_that_forked_children_share_are_not_counted_for_each(load: Any) -> None:
    with load([LocalRuntime()]):
        forks = python_app(fork_over)(0.5, 8, parsl_resource_specification={"memory": 0.6})
        assert forks.result(TIMEOUT) == 0


@pytest.mark.mpi
def test_greedy_ranks_and_launches_are_killed_alone(load: Any) -> None:
    two = annotate(MPI(ranks=2, memory=LIMIT))
    with load([LocalRuntime(), MPIRuntime()]) as kernel:
        program = PROGRAM.format(size=int(GREED * 1e9))
        greedy = [python_app(two(one_rank_grows))(GREED) for _ in range(GREEDY // 2)]
        greedy += [bash_app(two(launch))(program) for _ in range(GREEDY // 2)]
        honest = [python_app(modest)(n, parsl_resource_specification={"memory": LIMIT}) for n in range(2)]
        ranks = [python_app(two(one_rank_grows))(0.05) for _ in range(2)]
        check_alone(greedy, honest, 2 * GREED + 0.5)  # of a launch both ranks grow
        assert [future.result(TIMEOUT) for future in ranks] == [[0, 50_000_000]] * 2
        assert kernel.executors["memory"].snapshot()["blocks"]


def test_a_watch_that_is_killed_again_and_again_comes_back(load: Any) -> None:
    spec = {"memory": LIMIT}
    with load([LocalRuntime()]):
        assert python_app(modest)(0, parsl_resource_specification=spec).result(TIMEOUT) == 0
        for _ in range(6):
            for process in until(watches, TIMEOUT):
                process.kill()
                process.wait(TIMEOUT)
        greedy = python_app(hold_on)(LIMIT + 0.1, parsl_resource_specification=spec)
        assert isinstance(greedy.exception(TIMEOUT), MemoryExceeded)


def test_a_service_that_takes_too_much_is_started_again_and_the_others_answer(load: Any) -> None:
    pair = VLLMService("pair", "m", replicas=2, cores=0, server="command", executable=COMMAND, memory=LIMIT)
    with load([LocalRuntime()], services=[pair]):
        ask = python_app(prompt)
        spec = {"service": "pair"}
        assert ask("abc", parsl_resource_specification=spec).result(TIMEOUT) == "cba"
        honest = [ask(f"slow {n}", parsl_resource_specification=spec) for n in range(8)]
        error = ask("grow", parsl_resource_specification=spec).exception(TIMEOUT)
        assert isinstance(error, RequestKilledEngine)
        assert f"more than its memory={LIMIT:g} (GB)" in str(error)
        assert [future.result(TIMEOUT) for future in honest] == [f"slow {n}"[::-1] for n in range(8)]
        assert ask("abc", parsl_resource_specification=spec).result(TIMEOUT) == "cba"


def test_it_can_be_switched_off(load: Any) -> None:
    with load([LocalRuntime()], enforce_memory=False):
        assert python_app(grow)(0.6, parsl_resource_specification={"memory": LIMIT}).result(TIMEOUT) == 12
