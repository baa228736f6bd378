"""What starting a program costs: bash apps beside HighThroughputExecutor, MPI executables beside a bare `mpiexec`.

`python -m benchmarks commands` runs bash apps that do nothing, all at once, each executor in a process of its own, in
alternation. Then it launches one two-rank program again and again, by turns as an app on two ranks and by the same
`mpiexec` from here, both one after the other. At last it submits many launches at once, of one rank each that computes
for half a second, and says how much of the cores was leased while launches waited, by the executor's own ledger.
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from parsl import bash_app

from benchmarks.library import machine, pictures, sides
from benchmarks.library.block import leased
from rhapsody_parsl import MPI, MPIRuntime, RhapsodyExecutor, annotate
from testing.waiting import until

PROGRAM = "from mpi4py import MPI; MPI.COMM_WORLD.Barrier()"
COMPUTING = "import time; from mpi4py import MPI; n = time.time() + 0.5\nwhile time.time() < n: pass"
CORES = 2


@bash_app
def nothing() -> str:
    """Start a program that does nothing."""
    return "true"


@bash_app
@annotate(MPI(ranks=2))
def launch(python: str, program: str) -> str:
    """Run a program on two ranks."""
    return f"$PARSL_MPI_PREFIX {python} -c '{program}'"


@bash_app
@annotate(MPI(ranks=1))
def launch_one(python: str, program: str) -> str:
    """Run a program on one rank."""
    return f"$PARSL_MPI_PREFIX {python} -c '{program}'"


def measure(kind: str, folder: str, tasks: int) -> sides.Turns:
    """Measure the rate of bash apps."""
    with sides.load(sides.executor(kind, folder), folder):
        for future in [nothing() for _ in range(4)]:
            future.result()
        while True:
            began = time.perf_counter()
            futures = [nothing() for _ in range(tasks)]
            sides.check(all(future.result() == 0 for future in futures), "a program failed")
            yield {"per_s": tasks / (time.perf_counter() - began)}


def measure_launches(_kind: str, folder: str, turns: int, many: int) -> sides.Turns:
    """Measure launches through apps and bare ones, in seconds; and how full many keep the cores."""
    executor = sides.rhapsody([MPIRuntime()], cores=CORES)
    with sides.load(executor, folder):
        launch(sys.executable, PROGRAM).result()
        ours, bare = [], []
        for _ in range(turns):
            bare.append(_timed(_bare))
            ours.append(_timed(lambda: launch(sys.executable, PROGRAM).result()))
        yield {
            "app_s": statistics.median(ours),
            "bare_s": statistics.median(bare),
            "ratio": statistics.median(ours) / statistics.median(bare),
            "leased": _fill(executor, many),
        }


def _bare() -> int:
    mpiexec = str(sides.BIN / "mpiexec")
    return subprocess.run([mpiexec, "-n", "2", sys.executable, "-c", PROGRAM], check=True).returncode


def _timed(run: Callable[[], int]) -> float:
    began = time.perf_counter()
    sides.check(run() == 0, "a launch failed")
    return time.perf_counter() - began


def _fill(executor: RhapsodyExecutor, many: int) -> float:
    """Return the share of the cores that was leased from the first launch's begin until one had no more to run."""
    futures = [launch_one(sys.executable, COMPUTING) for _ in range(many)]
    sides.check(all(future.result() == 0 for future in futures), "a launch failed")
    until(lambda: sum(record["tasks"] for record in executor.timeline() if record["name"] == "launch_one") == many)
    records = [record for record in executor.timeline() if record["name"] == "launch_one"]
    return leased(records, min(r["start"] for r in records), sorted(r["end"] for r in records)[-CORES]) / CORES


def main() -> None:
    """Run all, print and write."""
    parser = sides.parser(__doc__)
    parser.add_argument("--tasks", type=int, default=400, help="bash apps, a repetition")
    parser.add_argument("--launches", type=int, default=20)
    arguments = sides.arguments(parser, measure, launches=measure_launches)
    runs = sides.beside_htex("benchmarks.claims.commands", arguments)
    launches = sides.apart("benchmarks.claims.commands", "launches", arguments.launches, arguments.launches)
    report(runs, launches, arguments.out)


def report(runs: sides.Runs, launches: sides.Numbers, out: Path) -> None:
    """Print the tables; write JSON and a picture."""
    medians = sides.medians(runs)
    ratio = sides.show_rates("Bash apps", medians)
    row = [f"{launches['app_s'] * 1e3:.0f}", f"{launches['bare_s'] * 1e3:.0f}", f"{launches['ratio']:.2f}",
           f"{launches['leased']:.1%}"]  # fmt: skip
    columns = ["as an app, ms", "bare mpiexec, ms", "ratio", "cores leased, many at once"]
    machine.show("A launch on two ranks", columns, [row])
    file = machine.write(out, "commands", {"medians": medians, "ratio": ratio, "runs": runs, "launches": launches})
    print(f"written: {file}, {picture(medians, launches, out)}")


def picture(medians: dict[str, sides.Numbers], launches: sides.Numbers, out: Path) -> Path:
    """Draw rates and launches."""
    some = {
        "Bash apps per second": {kind: numbers["per_s"] for kind, numbers in medians.items()},
        "A launch on two ranks, median, ms": {side: launches[f"{side}_s"] * 1e3 for side in ("app", "bare")},
    }
    return pictures.panels(out, "commands", 2.4, {title: (values, "{:,.0f}") for title, values in some.items()})


if __name__ == "__main__":
    main()
