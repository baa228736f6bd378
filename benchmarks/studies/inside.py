"""What a task costs that a task submits to its own block, beside one that the driver submits.

`python -m benchmarks inside` has one block of plain workers. In turn it measures the round trip of a no-op through an
app of Parsl's, through the executor alone, and from inside a task. It counts how often a thread of the parent waits,
and how many tasks per second go through from one task. Each median is of one turn, and the turns follow each other in
one process, so that they meet the same machine.
"""

import argparse
import statistics
import tempfile
from pathlib import Path

import parsl
from parsl import Config, python_app

from benchmarks.library import machine
from benchmarks.library.inside_apps import from_inside, no_op, rate, switches, trips
from rhapsody_parsl import LocalRuntime, RhapsodyExecutor

FREE = {"cores": 0}
WARM = 200


def measure(executor: RhapsodyExecutor, count: int) -> dict[str, float]:
    """Measure all, once."""
    app = python_app(no_op)
    return {
        "app": trips(lambda number: int(app(number).result()), count),
        "executor": trips(lambda number: int(executor.submit(no_op, {}, number).result()), count),
        "inside": executor.submit(from_inside, FREE, count).result(),
        "switches": executor.submit(switches, FREE, count // 4).result(),
        "rate": executor.submit(rate, FREE, 5 * count).result(),
    }


def main() -> None:
    """Run, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few calls, to see that it runs")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("build/benchmarks"))
    arguments = parser.parse_args()
    count, repeat = (50, 1) if arguments.quick else (2_000, arguments.repeat)
    executor = RhapsodyExecutor(label="inside", runtimes=[LocalRuntime()], cores_per_node=2)
    with tempfile.TemporaryDirectory() as folder:
        config = Config(executors=[executor], run_dir=folder, initialize_logging=False, strategy="none")
        with parsl.load(config):
            measure(executor, min(count, WARM))
            runs = [measure(executor, count) for _ in range(repeat)]
    report(runs, arguments.out)


def report(runs: list[dict[str, float]], out: Path) -> None:
    """Print the table; write JSON."""
    medians = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
    ratios = [statistics.median(run["inside"] / run[key] for run in runs) for key in ("app", "executor")]
    rows = [
        ["an app of Parsl's, ms", f"{medians['app']:.3f}", f"{ratios[0]:.2f}"],
        ["executor.submit, ms", f"{medians['executor']:.3f}", f"{ratios[1]:.2f}"],
        ["inside a task, ms", f"{medians['inside']:.3f}", ""],
        ["voluntary changes of context of the parent, per round trip", f"{medians['switches']:.2f}", ""],
        ["from one task, per second", f"{medians['rate']:,.0f}", ""],
    ]
    machine.show("The round trip of a no-op", ["", "median", "inside is of it"], rows)
    print(f"written: {machine.write(out, 'inside', {'medians': medians, 'runs': runs})}")


if __name__ == "__main__":
    main()
