"""Whether a long run grows: a million tasks with thirty thousand specifications, and the memory of driver and pilot.

`python -m benchmarks soak` (`--tasks`, `--specs`) submits straight to the executor, in waves of ten thousand. Each
specification is seen for some thirty tasks and never again: a priority, a place to be near to or a walltime of its own.
It prints the resident memory of both at each tenth, checks every result, and ends with 1 when either is at the end more
than a fifth above what it was after the first tenth.
"""

import tempfile
import time
from concurrent.futures import wait
from typing import Any

import psutil

from benchmarks.library import machine, sides
from benchmarks.library.block import pilot
from benchmarks.library.queued import nothing
from rhapsody_parsl import LocalRuntime, RhapsodyExecutor
from testing import leaks

WAVE = 10_000
MOST = 1.2
"""Times what it was after the first tenth."""


def specification(number: int) -> dict[str, Any]:
    """Return one of many."""
    kinds: tuple[dict[str, Any], ...] = (
        {"priority": number},
        {"near": f"data{number}"},
        {"walltime": 1000 + number},
    )
    return kinds[number % len(kinds)]


def run(executor: RhapsodyExecutor, tasks: int, specs: int) -> list[list[float]]:
    """Run so many; return tasks done, seconds, and MB of driver and pilot, at each tenth."""
    rows: list[list[float]] = []
    began = time.perf_counter()
    for start in range(0, tasks, WAVE):
        numbers = range(start, min(start + WAVE, tasks))
        futures = [executor.submit(nothing, specification(n * specs // tasks), n) for n in numbers]
        wait(futures)
        sides.check([future.result() for future in futures] == list(numbers), "another number")
        done = numbers[-1] + 1
        if done * 10 // tasks > len(rows):
            rows.append([done, time.perf_counter() - began, *map(_megabytes, (psutil.Process(), pilot()))])
    return rows


def _megabytes(process: psutil.Process) -> float:
    return float(process.memory_info().rss) / 1e6


def main() -> None:
    """Run, print and write; end with 1 when something grew."""
    parser = sides.options(__doc__)
    parser.add_argument("--tasks", type=int, default=1_000_000)
    parser.add_argument("--specs", type=int, default=30_000)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.tasks, arguments.specs = 100_000, 5_000
    leaks.adopt_orphans()  # so that the pilot is found below this process
    executor = sides.rhapsody([LocalRuntime()])
    with tempfile.TemporaryDirectory() as folder, sides.load(executor, folder):
        rows = run(executor, arguments.tasks, arguments.specs)
        recorded = sum(record["tasks"] for record in executor.timeline())
    columns = ["tasks", "seconds", "driver, MB", "pilot, MB"]
    machine.show(f"{arguments.specs:,} specifications", columns, [[f"{cell:,.0f}" for cell in row] for row in rows])
    grew = {who: rows[-1][place] / rows[0][place] for who, place in (("driver", 2), ("pilot", 3))}
    print(f"driver x {grew['driver']:.2f}, pilot x {grew['pilot']:.2f}; tasks on record: {recorded:,}")
    print(f"written: {machine.write(arguments.out, 'soak', {'rows': rows, 'grew': grew, 'recorded': recorded})}")
    raise SystemExit(max(grew.values()) > MOST)


if __name__ == "__main__":
    main()
