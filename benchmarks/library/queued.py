"""A queue behind one task: how fast tasks come in and go out, and what each takes of the pilot's memory.

It is a side in a process of its own, `python -m benchmarks.library.queued`, for more than one benchmark.
"""

import threading
import time
from concurrent.futures import wait
from pathlib import Path

from benchmarks.library import sides
from benchmarks.library.block import pilot
from rhapsody_parsl import LocalRuntime

MODULE = "benchmarks.library.queued"


def hold(path: str) -> None:
    """Hold a worker until a file is there."""
    import time  # noqa: PLC0415 - a task imports where it runs
    from pathlib import Path  # noqa: PLC0415 - as above

    while not Path(path).exists():
        time.sleep(0.01)  # noqa: TID251 - the work


def nothing(number: int) -> int:
    """Do nothing."""
    return number


def measure(_kind: str, folder: str, count: int) -> sides.Turns:
    """Queue so many tasks behind one in the first turn; let them run in the second."""
    gate = Path(folder) / "gate"
    executor = sides.rhapsody([LocalRuntime()], cores=1)
    with sides.load(executor, folder):
        executor.submit(nothing, {}, 0).result()
        holding = executor.submit(hold, {}, str(gate))
        idle = _resident()
        began = time.perf_counter()
        futures = [executor.submit(nothing, {}, number) for number in range(count)]
        into = time.perf_counter() - began
        full = _at_rest()
        yield {
            "tasks": count,
            "in_per_s": count / into,
            "idle_mb": idle / 1e6,
            "bytes_a_task": (full - idle) / count,
        }
        began = time.perf_counter()
        gate.touch()
        wait(futures)
        out = time.perf_counter() - began
        sides.check(all(f.result() == n for n, f in enumerate(futures)), "another number")
        holding.result()
        yield {"out_per_s": count / out}


def _resident() -> float:
    return float(pilot().memory_info().rss)


def _at_rest() -> float:
    """Return the pilot's memory when it has taken in all that is on the way: when it grows no more."""
    before = 0.0
    while (now := _resident()) != before:
        before = now
        threading.Event().wait(1)
    return now


if __name__ == "__main__":
    sides.arguments(sides.parser(__doc__), measure)
