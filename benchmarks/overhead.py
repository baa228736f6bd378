"""What an app costs beyond its own work: no-op apps and two-rank MPI functions, beside Parsl's own executors.

`python -m benchmarks.overhead` runs every executor in a process of its own, `--repeat` times in alternation, and prints
medians. Everything goes through Parsl (`@python_app`, a DataFlowKernel with logging off on all sides); every result is
checked.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import parsl
from parsl import Config, HighThroughputExecutor, ThreadPoolExecutor, python_app
from parsl.executors import MPIExecutor
from parsl.executors.base import ParslExecutor
from parsl.launchers import SimpleLauncher
from parsl.providers import LocalProvider

from benchmarks import machine
from rhapsody_parsl import MPI, DragonRuntime, MPIRuntime, RhapsodyExecutor, annotate

BIN = Path(sys.executable).parent


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


def provider(nodefile: str = "") -> LocalProvider:
    """Return one block; Parsl's own executors find their worker command on PATH and their nodes in a PBS node file."""
    init = f"export PATH={BIN}:$PATH"
    if nodefile:
        Path(nodefile).write_text("localhost\n")
        init += f"; export PBS_NODEFILE={nodefile}"
    return LocalProvider(init_blocks=1, max_blocks=1, worker_init=init, launcher=SimpleLauncher())


def executor(kind: str, folder: str) -> ParslExecutor:
    """Return the executor of a kind, with two workers."""
    local = LocalProvider(init_blocks=1, max_blocks=1)
    match kind:
        case "rhapsody-dragon":
            return RhapsodyExecutor("x", provider=local, runtimes=[DragonRuntime()], cores_per_node=2)
        case "rhapsody-mpi":
            return RhapsodyExecutor("x", provider=local, runtimes=[MPIRuntime()], cores_per_node=2)
        case "htex":
            return HighThroughputExecutor(label="x", max_workers_per_node=2, provider=provider())
        case "mpiexecutor":
            nodes = provider(f"{folder}/nodes")
            return MPIExecutor(label="x", mpi_launcher="mpiexec", max_workers_per_block=1, provider=nodes)
        case _:
            return ThreadPoolExecutor(label="x", max_threads=2)


def measure(kind: str, folder: str, tasks: int, singles: int) -> dict[str, float]:
    """Measure one executor: seconds to the first result, round trip, rate."""
    began = time.perf_counter()
    config = Config(
        executors=[executor(kind, folder)], strategy="none", usage_tracking=0, initialize_logging=False, run_dir=folder
    )
    with parsl.load(config):
        call, factor = _app(kind)
        _check(call(1).result(), factor)
        first = time.perf_counter() - began
        trips = sorted(_trip(call, number, factor) for number in range(singles))
        began = time.perf_counter()
        futures = {number: call(number) for number in range(tasks)}
        for number, future in futures.items():
            _check(future.result(), number * factor)
        rate = tasks / (time.perf_counter() - began)
    quantile = statistics.quantiles(trips, n=100, method="inclusive")
    return {"first_s": first, "p50_ms": quantile[49] * 1e3, "p99_ms": quantile[98] * 1e3, "per_s": rate}


def _check(got: int, wanted: int) -> None:
    if got != wanted:
        raise ValueError(f"a task returned {got} instead of {wanted}: no number measured here counts")


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


def run_apart(kind: str, tasks: int, singles: int) -> dict[str, float]:
    """Measure in a fresh process."""
    words = [sys.executable, "-m", "benchmarks.overhead", "--one", kind, str(tasks), str(singles)]
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise SystemExit(f"{kind} failed:\n{done.stderr[-3000:]}")
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def main() -> None:
    """Run all, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=5000, help="no-op apps a repetition")
    parser.add_argument("--mpi-tasks", type=int, default=2000, help="two-rank MPI functions a repetition")
    parser.add_argument("--launches", type=int, default=20, help="tasks for MPIExecutor, which launches each")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("benchmark-output"))
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        kind, tasks, singles = arguments.one
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(measure(kind, folder, int(tasks), int(singles))))
        return
    plan = {
        "rhapsody-dragon": (arguments.tasks, 300),
        "htex": (arguments.tasks, 300),
        "threads": (arguments.tasks, 300),
        "rhapsody-mpi": (arguments.mpi_tasks, 300),
        "mpiexecutor": (arguments.launches, 10),
    }
    measured: dict[str, list[dict[str, float]]] = {kind: [] for kind in plan}
    for _ in range(arguments.repeat):
        for kind, (tasks, singles) in plan.items():
            measured[kind].append(run_apart(kind, tasks, singles))
    report(measured, plan, arguments.out)


def report(measured: dict[str, list[dict[str, float]]], plan: dict[str, tuple[int, int]], out: Path) -> None:
    """Print the table of medians; write JSON and a picture."""
    medians = {
        kind: {key: statistics.median(run[key] for run in runs) for key in runs[0]} for kind, runs in measured.items()
    }
    rows = [
        [kind, str(plan[kind][0]), *(f"{medians[kind][key]:,.2f}" for key in ("first_s", "p50_ms", "p99_ms", "per_s"))]
        for kind in plan
    ]
    machine.show("Overhead of an app", ["executor", "tasks", "first s", "p50 ms", "p99 ms", "tasks/s"], rows)
    file = machine.write(out, "overhead", {"medians": medians, "runs": measured})
    picture(medians, out / "overhead.png")
    print(f"written: {file}, {out / 'overhead.png'}")


def picture(medians: dict[str, dict[str, float]], file: Path) -> None:
    """Draw rate and round trip, logarithmic."""
    import matplotlib as mpl  # noqa: PLC0415 - heavy, and only for the picture

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 - after the backend is chosen

    figure, axes = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    kinds = list(medians)
    colours = ["#1f77b4" if kind.startswith("rhapsody") else "#bbbbbb" for kind in kinds]
    titles = {"per_s": "tasks per second", "p50_ms": "round trip, median, ms"}
    for axis, (key, title) in zip(axes, titles.items(), strict=True):
        bars = axis.barh(kinds, [medians[kind][key] for kind in kinds], color=colours)
        axis.bar_label(bars, fmt="{:,.2f}" if key == "p50_ms" else "{:,.0f}", padding=3)
        axis.set(xscale="log", title=title)
        axis.invert_yaxis()
        axis.margins(x=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, dpi=150)
    plt.close(figure)


if __name__ == "__main__":
    main()
