"""What an app costs beyond its own work: no-op apps and two-rank MPI functions, beside Parsl's own executors.

`python -m benchmarks overhead` runs every executor in a process of its own, `--repeat` times in alternation, and prints
medians. The executors start anew each time, but the two for MPI, which stay up. Everything goes through Parsl
(`@python_app`, a DataFlowKernel with logging off on all sides); every result is checked.
"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from parsl import python_app

from benchmarks.library import machine, pictures, sides
from rhapsody_parsl import MPI, annotate

_COLUMNS = {
    "first_s": "first s",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "busy_p50_ms": "p50, cores busy",
    "busy_p99_ms": "p99, cores busy",
    "per_s": "tasks/s",
}


@python_app
def no_op(number: int) -> int:
    """Do nothing."""
    return number


@python_app
@annotate(MPI(ranks=2))
def add_up(number: int, comm: Any = None) -> int:
    """Add a number over two ranks."""
    return int(comm.allreduce(number))


@python_app
def add_up_by_launch(number: int, parsl_resource_specification: dict[str, Any]) -> int:
    """Add a number over two ranks, launched as MPIExecutor does it."""
    import os  # noqa: PLC0415 - an app imports where it runs
    import subprocess  # noqa: PLC0415 - as above
    import sys  # noqa: PLC0415 - as above

    program = f"from mpi4py import MPI; c = MPI.COMM_WORLD; s = c.allreduce({number}); c.rank or print(s)"
    words = [*os.environ["PARSL_MPI_PREFIX"].split(), sys.executable, "-c", program]
    return int(subprocess.run(words, capture_output=True, text=True, check=True).stdout)


def measure(kind: str, folder: str, tasks: int, singles: int) -> sides.Turns:
    """Measure one executor: seconds to the first result since it was started, round trip, rate."""
    began = time.perf_counter()
    with sides.load(sides.executor(kind, folder), folder):
        call, factor = _app(kind)
        _check(call(1).result(), factor)
        first = time.perf_counter() - began
        for number in range(singles):  # to warm up: a block serves for hours
            _trip(call, number, factor)
        _burst(call, max(1, tasks // 5), factor)  # and to have all workers: a lone app at a time needs one
        while True:
            trips = [_trip(call, number, factor) for number in range(singles)]
            with busy_cores():
                busy = [_trip(call, number, factor) for number in range(singles)]
            rate = tasks / _burst(call, tasks, factor)
            yield {"first_s": first, **_quantiles("", trips), **_quantiles("busy_", busy), "per_s": rate}


@contextmanager
def busy_cores() -> Iterator[None]:
    """Keep every core of ours busy with a process that only computes."""
    program = "from rhapsody_parsl.hosts.process_tree import die_with_parent; die_with_parent()\nwhile True: pass"
    spin = [sys.executable, "-c", program]
    spinners = [subprocess.Popen(spin) for _ in os.sched_getaffinity(0)]
    try:
        yield
    finally:
        for spinner in spinners:
            spinner.kill()
            spinner.wait()


def _quantiles(prefix: str, trips: Sequence[float]) -> sides.Numbers:
    cut = statistics.quantiles(trips, n=100, method="inclusive")
    return {f"{prefix}p50_ms": cut[49] * 1e3, f"{prefix}p99_ms": cut[98] * 1e3}


def _check(got: int, wanted: int) -> None:
    sides.check(got == wanted, f"{got} instead of {wanted}")


def _app(kind: str) -> tuple[Callable[[int], Any], int]:
    if kind == "rhapsody-mpi":
        return add_up, 2
    if kind == "mpiexecutor":
        spec = {"num_nodes": 1, "num_ranks": 2, "ranks_per_node": 2}
        return lambda number: add_up_by_launch(number, parsl_resource_specification=spec), 2
    return no_op, 1


def _trip(call: Callable[[int], Any], number: int, factor: int) -> float:
    began = time.perf_counter()
    _check(call(number).result(), number * factor)
    return time.perf_counter() - began


def _burst(call: Callable[[int], Any], tasks: int, factor: int) -> float:
    began = time.perf_counter()
    futures = {number: call(number) for number in range(tasks)}
    for number, future in futures.items():
        _check(future.result(), number * factor)
    return time.perf_counter() - began


def main() -> None:
    """Run all, print and write."""
    parser = sides.parser(__doc__)
    parser.add_argument("--tasks", type=int, default=3000, help="no-op apps a repetition")
    parser.add_argument("--mpi-tasks", type=int, default=2000, help="two-rank MPI functions a repetition")
    parser.add_argument("--launches", type=int, default=20, help="tasks for MPIExecutor, which launches each")
    arguments = sides.arguments(parser, measure)
    apps = dict.fromkeys(("rhapsody-dragon", "htex", "threads"), (arguments.tasks, 300))
    ranks = {"rhapsody-mpi": (arguments.mpi_tasks, 300), "mpiexecutor": (arguments.launches, 10)}
    measured = sides.alternate("benchmarks.claims.overhead", apps, arguments.repeat)
    measured |= sides.alternate("benchmarks.claims.overhead", ranks, arguments.repeat, stay=True)
    report(measured, apps | ranks, arguments.out)


def report(measured: sides.Runs, plan: dict[str, tuple[int, int]], out: Path) -> None:
    """Print the table of medians; write JSON and a picture."""
    medians = sides.medians(measured)
    rows = [[kind, str(plan[kind][0]), *(f"{medians[kind][key]:,.2f}" for key in _COLUMNS)] for kind in plan]
    machine.show("Overhead of an app", ["executor", "tasks", *_COLUMNS.values()], rows)
    file = machine.write(out, "overhead", {"medians": medians, "runs": measured})
    print(f"written: {file}, {picture(medians, out)}")


def picture(medians: dict[str, sides.Numbers], out: Path) -> Path:
    """Draw rate and round trip, logarithmic."""
    some = {
        "tasks per second": ({kind: numbers["per_s"] for kind, numbers in medians.items()}, "{:,.0f}"),
        "round trip, median, ms": ({kind: numbers["p50_ms"] for kind, numbers in medians.items()}, "{:,.2f}"),
    }
    return pictures.panels(out, "overhead", 3.6, some, log=True)


if __name__ == "__main__":
    main()
