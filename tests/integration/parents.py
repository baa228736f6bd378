"""Functions that submit others to the block that they run in."""

import os
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, as_completed, wait
from pathlib import Path
from typing import Any

from rhapsody_parsl import Policy, annotate, block
from rhapsody_parsl.errors import TooManyChildren


def square(number: int) -> int:
    return number * number


def squares(count: int) -> int:
    with block() as here:
        return sum(here.map(square, range(count)))


def squares_slowly(count: int) -> tuple[int, list[set[int]]]:
    """Return their sum, and the cores of this process before and after."""
    before, here = os.sched_getaffinity(0), block()
    futures = [here.submit(slow_square, number) for number in range(count)]
    found = sum(future.result() for future in futures)
    with block() as again:
        again.submit(slow_square, 2)
    return found, [before, os.sched_getaffinity(0)]


def slow_square(number: int) -> int:
    time.sleep(0.05)
    return number * number


def round_trips(count: int) -> list[float]:
    """Return the seconds that each of so many tasks takes there and back."""
    here, taken = block(), []
    for number in range(count):
        began = time.perf_counter()
        here.submit(square, number).result()
        taken.append(time.perf_counter() - began)
    return taken


def rate(count: int) -> float:
    """Return how many tasks per second go through, submitted all at once."""
    here = block()
    began = time.perf_counter()
    wait([here.submit(square, number) for number in range(count)])
    return count / (time.perf_counter() - began)


def sleeps(folder: str, seconds: float = 600.0) -> None:
    """Say which process this is, and sleep."""
    own = Path(folder, str(os.getpid()))
    own.with_suffix(".pid").touch()
    time.sleep(seconds)
    own.with_suffix(".done").touch()


def waits(folder: str, count: int = 1) -> list[Any]:
    """Say which process this is, submit sleepers and wait for them."""
    Path(folder, "parent").write_text(str(os.getpid()))
    here = block()
    return [future.result() for future in [here.submit(sleeps, folder) for _ in range(count)]]


def leaves(folder: str, seconds: float, outlive: bool) -> None:
    """Submit a sleeper and finish when it runs."""
    block(outlive=outlive).submit(sleeps, folder, seconds)
    while not os.listdir(folder):
        time.sleep(0.01)


def dies(_folder: str = "") -> None:
    os.kill(os.getpid(), 9)


def named(call: Callable[[], Any]) -> str:
    """Return the name of what a call raises."""
    try:
        call()
    except Exception as problem:  # noqa: BLE001 - any is named
        return type(problem).__name__
    return ""


def errors(folder: str) -> list[str]:
    """Return how things that cannot be fail, as a parent of one core of two sees it."""
    here = block()
    wrong: list[dict[str, Any]] = [{"cores": 99}, {"cores": 2}, {"core": 1}, {"runtime": "vllm", "service": "none"}]
    names = [named(lambda keys=keys: here.submit(square, 1, resource_specification=keys)) for keys in wrong]  # type: ignore[misc]  # bound here
    names.append(named(lambda: here.submit(square, os.scandir("."))))
    futures = [here.submit(dies), here.submit(square, "x"), here.submit(sleeps, folder, resource_specification=SHORT)]
    names += [type(future.exception()).__name__ for future in futures]
    here.shutdown()
    return [*names, named(lambda: here.submit(square, 1))]


SHORT = {"walltime": 0.5}


@annotate(Policy(env={"SAID": "yes"}))
def said(key: str) -> str:
    return os.environ[key]


def deep(left: int) -> int:
    """Recur: return how deep it went."""
    if not left:
        return 0
    specification = {"cores": 0}
    return 1 + int(block().submit(deep, left - 1, resource_specification=specification).result())


def as_they_end(count: int) -> list[Any]:
    """Use the ways to wait that the standard library has, and callbacks that submit."""
    here, chained = block(), Future[int]()
    futures = [here.submit(square, number) for number in range(count)]
    total = sum(future.result() for future in as_completed(futures))
    before = here.submit(square, 3)
    wait([before])

    def go_on(ended: "Future[Any]") -> None:
        specification = {"priority": 1}  # the pilot has to be asked
        after = here.submit(square, ended.result(), resource_specification=specification)
        after.add_done_callback(lambda one: chained.set_result(one.result()))

    before.add_done_callback(lambda one: here.submit(square, one.result()).add_done_callback(go_on))
    return [total, chained.result(60), here.submit(said, "SAID").result()]


def cancels(folder: str) -> list[bool]:
    """Cancel one task that runs and one that waits."""
    here = block()
    running, waiting = here.submit(sleeps, folder), here.submit(sleeps, folder, resource_specification={"cores": 2})
    while not os.listdir(folder):
        time.sleep(0.01)
    done = [running.cancel(), waiting.cancel()]
    return [*done, here.submit(square, 2).result() == 4, running.cancelled(), waiting.cancelled()]


def large(size: int) -> int:
    """Send a large argument and get a large result."""
    data = bytes(size)
    return sum(len(future.result()) for future in [block().submit(doubled, data) for _ in range(3)])


def doubled(data: bytes) -> bytes:
    return data + data


def on_ranks(comm: Any) -> list[int]:
    """Each rank submits."""
    number, specification = comm.Get_rank(), {"cores": 0}  # the gang has all cores
    return [number, block().submit(square, 10 + number, resource_specification=specification).result()]


def rank(comm: Any) -> int:
    return int(comm.Get_rank())


def a_gang() -> list[int]:
    """Submit a function to ranks."""
    specification = {"num_ranks": 2, "returns": "all"}
    return list(block().submit(rank, resource_specification=specification).result())


def prompt(text: str) -> str:
    return text


def asks(text: str) -> str:
    """Ask a model."""
    return str(block().submit(prompt, text, resource_specification={"service": "fake"}).result())


def forked() -> str:
    """A child that the task forks has no block."""
    read, write = os.pipe()
    if not os.fork():
        os.write(write, named(block).encode())
        os._exit(0)
    os.wait()
    return os.read(read, 100).decode()


def two_at_once(count: int) -> int:
    """Submit from several threads."""
    here = block()
    with ThreadPoolExecutor(4) as threads:
        return sum(threads.map(lambda number: here.submit(square, number).result(), range(count)))


def many(count: int) -> str:
    """Submit more than allowed."""
    here = block()
    try:
        for _ in range(count):
            here.submit(time.sleep, 60)
    except TooManyChildren as problem:
        return str(problem)
    return ""
