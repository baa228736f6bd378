"""What a Globus Compute task costs in the engine: RhapsodyEngine beside GlobusComputeEngine (HighThroughputExecutor).

`python -m benchmarks globus` drives each engine as an endpoint's process drives it (packed tasks in, packed results
out), in a process of its own, `--repeat` times in alternation, and prints medians. Web service and broker are left out:
their polls of half a second would hide everything. Every result is checked.
"""

import statistics
import time
from pathlib import Path
from typing import Any

from globus_compute_endpoint.engines import GlobusComputeEngine
from globus_compute_endpoint.engines.base import GlobusComputeEngineBase
from parsl.providers import LocalProvider

from benchmarks.library import machine, sides
from rhapsody_parsl.globus_compute import RhapsodyEngine
from testing.globus_engine import Driver, started

KINDS = ("rhapsody-dragon", "rhapsody-local", "rhapsody-mpi", "htex")
SPECS: dict[str, dict[str, Any]] = {"rhapsody-mpi": {"runtime": "mpi", "num_ranks": 2}}
COLUMNS = ("first_s", "p50_ms", "p99_ms", "per_s")


def no_op(number: int) -> int:
    """Do nothing."""
    return number


def add_up(number: int, comm: Any = None) -> int:
    """Add a number over two ranks."""
    return int(comm.allreduce(number)) // 2


def engine(kind: str) -> GlobusComputeEngineBase:
    """Return the engine of a kind, with two workers on one block."""
    provider = LocalProvider(init_blocks=1, max_blocks=1, min_blocks=1)
    if kind == "htex":
        return GlobusComputeEngine(provider=provider, max_workers_per_node=2, address="127.0.0.1", label="x")
    runtime = kind.partition("-")[2]
    return RhapsodyEngine(provider=provider, runtimes={runtime: {}}, cores_per_node=2, label="x")


def measure(kind: str, folder: str, tasks: int, singles: int) -> sides.Turns:
    """Measure one engine: seconds to the first result, round trip, rate."""
    began = time.perf_counter()
    with started(engine(kind), Path(folder)) as driver:
        _trip(driver, kind, 1)
        first = time.perf_counter() - began
        _rate(driver, kind, 100)  # every worker has opened the function
        trips = [_trip(driver, kind, number) for number in range(singles)]
        rate = _rate(driver, kind, tasks)
        quantile = statistics.quantiles(trips, n=100, method="inclusive")
        yield {"first_s": first, "p50_ms": quantile[49] * 1e3, "p99_ms": quantile[98] * 1e3, "per_s": rate}


def _submit(driver: Driver, kind: str, number: int) -> Any:
    spec = SPECS.get(kind, {})
    return driver.submit(add_up if spec else no_op, number, spec=spec)


def _check(got: int, wanted: int) -> None:
    sides.check(got == wanted, f"{got} instead of {wanted}")


def _trip(driver: Driver, kind: str, number: int) -> float:
    began = time.perf_counter()
    _check(driver.value(_submit(driver, kind, number)), number)
    return time.perf_counter() - began


def _rate(driver: Driver, kind: str, tasks: int) -> float:
    began = time.perf_counter()
    for number, future in enumerate([_submit(driver, kind, number) for number in range(tasks)]):
        _check(driver.value(future), number)
    return tasks / (time.perf_counter() - began)


def main() -> None:
    """Run all, print and write."""
    parser = sides.parser(__doc__, repeat=3)
    parser.add_argument("--tasks", type=int, default=2000)
    parser.add_argument("--singles", type=int, default=300, help="tasks one at a time, for the round trip")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    arguments = sides.arguments(parser, measure)
    plan = dict.fromkeys(arguments.kinds, (arguments.tasks, arguments.singles))
    runs = sides.alternate("benchmarks.claims.globus", plan, arguments.repeat)
    medians = sides.medians(runs)
    rows = [[kind, *(f"{medians[kind][key]:,.2f}" for key in COLUMNS)] for kind in medians]
    machine.show("A task in the engine", ["engine", "first s", "p50 ms", "p99 ms", "tasks/s"], rows)
    print(f"written: {machine.write(arguments.out, 'globus', {'medians': medians, 'runs': runs})}")


if __name__ == "__main__":
    main()
