"""What a user runs where something is scarce; each scenario prints what came of it, as JSON. For `test_exhaustion`."""

import contextlib
import json
import os
import resource
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import psutil
from parsl.providers import LocalProvider

from rhapsody_parsl import DragonRuntime, LocalRuntime, MPIRuntime, RhapsodyExecutor
from rhapsody_parsl.errors import RhapsodyError
from testing.scarce import fill
from tests.integration import apps

MEMORY = "/dev/shm"  # noqa: S108 - of a mount namespace of our own
_ALL = LocalRuntime(startup_timeout=4), MPIRuntime(startup_timeout=4), DragonRuntime(startup_timeout=8)


def _executor(*runtimes: Any, cores: int = 2, worker_init: str = "") -> RhapsodyExecutor:
    provider = LocalProvider(init_blocks=1, max_blocks=1, worker_init=worker_init)
    return RhapsodyExecutor(label="x", provider=provider, runtimes=runtimes or _ALL, cores_per_node=cores)


def _told(future: "Future[Any]", seconds: float = 60) -> Any:
    """Return a task's value, or the class and the words of its error."""
    try:
        return future.result(seconds)
    except Exception as problem:  # noqa: BLE001 - whatever it is, the test looks at it
        return [type(problem).__name__, str(problem)]


def _each_way(executor: RhapsodyExecutor) -> dict[str, Any]:
    ways = {
        "local": executor.submit(abs, {"runtime": "local"}, -1),
        "mpi": executor.submit(apps.rank_sum, {"num_ranks": 2}),
        "dragon": executor.submit(abs, {"runtime": "dragon"}, -1),
    }
    return {way: _told(future) for way, future in ways.items()}


def full_memory() -> dict[str, Any]:
    fill(MEMORY)
    with _executor() as executor:
        large = executor.submit(len, {"runtime": "local"}, b"x" * 1_000_000)
        found = {**_each_way(executor), "large": _told(large)}
        found["launch"] = _told(executor.submit(apps.launch_nothing, {"num_ranks": 2}, 2))
    return {**found, "left": sorted(set(os.listdir(MEMORY)) - {"filler"})}


def small_memory() -> dict[str, Any]:
    """Shared memory as a container has it: less than Dragon makes a pool of."""
    with _executor(LocalRuntime(), MPIRuntime(), DragonRuntime(startup_timeout=20)) as executor:
        return _each_way(executor)


def full_places() -> dict[str, Any]:
    """TMPDIR and the run directory are full after the first task, and both have long paths."""
    with _executor() as executor:
        executor.submit(abs, {"runtime": "local"}, -1).result(60)
        fill(os.environ["TMPDIR"])
        fill(os.getcwd())
        found = _each_way(executor)
        found["own"] = _told(executor.submit(apps.write, {"runtime": "local"}, f"{os.getcwd()}/own", 8192))
    return found


def full_run_directory() -> dict[str, Any]:
    Path("runinfo/000").mkdir(parents=True)
    fill(os.getcwd())
    executor = _executor()
    executor.run_dir = os.path.abspath("runinfo/000")
    try:
        executor.start()
    except RhapsodyError as problem:
        return {"start": [type(problem).__name__, str(problem)], "threads": len(psutil.Process().threads())}
    finally:
        executor.shutdown()
    return {"start": "it started"}


def never_ready() -> dict[str, Any]:
    """What a worker or a rank imports first blocks for ever, until a file goes."""
    with _executor() as executor:
        found = _each_way(executor)
        Path(os.environ["HANG"]).unlink()
        return {**found, "later": _each_way(executor)}


def _limit_processes(processes: Iterable[psutil.Process], limit: int) -> None:
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(process.pid, resource.RLIMIT_NPROC, (limit, resource.getrlimit(resource.RLIMIT_NPROC)[1]))


def few_processes() -> dict[str, Any]:
    """The limit allows one worker beside what is there, then as many as anybody wants."""
    with _executor(LocalRuntime(), MPIRuntime(), DragonRuntime()) as executor:
        executor.submit(abs, {"runtime": "local"}, -1).result(60)
        own = [process for process in psutil.process_iter() if process.uids().real == os.getuid()]
        most = resource.getrlimit(resource.RLIMIT_NPROC)[1]
        threads = sum(process.num_threads() for process in own)
        _limit_processes(own, threads)
        napping = [executor.submit(apps.nap_and_limit, {"runtime": "local"}, 0.5) for _ in range(4)]
        found = {**_each_way(executor), "many": [_told(future) for future in napping]}
        _limit_processes(own, most)
        return {**found, "later": _each_way(executor)}


def few_files() -> dict[str, Any]:
    """The soft limit is below what a worker on each core takes."""
    cores = int(os.environ["CORES"])
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, int(os.environ["HARD"])))
    found: dict[str, Any] = {}
    for name, runtime in ("local", LocalRuntime()), ("dragon", DragonRuntime()):
        with _executor(runtime, cores=cores) as executor:
            futures = [executor.submit(apps.nap_and_limit, {}, 0.3) for _ in range(cores)]
            found[name] = [_told(future) for future in futures]
    return found


def many_workers() -> dict[str, Any]:
    """The soft limit of the block's job is below what a pilot of many workers needs."""
    count = int(os.environ["CORES"])
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, int(os.environ["HARD"])))
    with _executor(LocalRuntime(), cores=count, worker_init="ulimit -S -n 256") as executor:  # else as the driver has
        futures = [executor.submit(apps.pid_and_limit, {}) for _ in range(count)]
        return {"told": [_told(future, 120) for future in futures]}


def main(name: str) -> None:
    scenario: Callable[[], dict[str, Any]] = globals()[name]
    began = time.monotonic()
    found = scenario()
    print(json.dumps({**found, "seconds": time.monotonic() - began}))  # noqa: T201 - it is what the test reads
