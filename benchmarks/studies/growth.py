"""How cost grows: with tasks from 100 to a million, with workers, with blocks, and far beyond two cores.

`python -m benchmarks growth` measures, each in a process of its own:

- tasks: while a task holds the one worker, so many more are submitted, straight to the executor; then the worker is let
  go. Says tasks per second into the queue and out of it, and the pilot's memory with all of them queued;
- workers on two cores, and blocks of one worker: no-op apps per second;
- the pilot's real core with nothing around it, no process and no socket: 100 to 10,000 workers with a task each, which
  opens a lease, and with a hundred each, a million in all; in decisions (dispatches) per second.
"""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import wait
from pathlib import Path

from benchmarks.library import machine, pictures, queued, sides
from benchmarks.library.apps import no_op
from rhapsody_parsl import LocalRuntime
from rhapsody_parsl.pilot.core import Core
from rhapsody_parsl.pilot.gc_tuning import tune
from rhapsody_parsl.pilot.ledger import Ledger
from rhapsody_parsl.pilot.runs import Runs
from testing.nodes import make_nodes, make_spec, make_task
from testing.rates import drive
from testing.simulation import FakeRuntime
from testing.waiting import until

TASKS = (100, 1_000, 10_000, 100_000, 1_000_000)
WORKERS = (1, 2, 4, 8)
BLOCKS = (1, 2, 4)
SIMULATED = (100, 1_000, 10_000)
EACH = (1, 100)
"""Tasks a worker: the first one opens a lease, the others go on with it."""
QUICK = 10_000


def measure_rate(_kind: str, folder: str, blocks: int, workers: int, count: int) -> sides.Turns:
    """Measure the rate of no-op apps on blocks of so many workers each."""
    executor = sides.rhapsody([LocalRuntime()], blocks, workers)
    with sides.load(executor, folder):
        until(lambda: len(executor.connected_blocks()) == blocks)
        wait([no_op(number) for number in range(500)])
        threading.Event().wait(0.5)
        while True:
            began = time.perf_counter()
            futures = [no_op(number) for number in range(count)]
            sides.check([future.result() for future in futures] == list(range(count)), "another number")
            yield {"blocks": blocks, "workers": workers, "per_s": count / (time.perf_counter() - began)}


def measure_core(_kind: str, _folder: str, workers: int, each: int) -> sides.Turns:
    """Measure the pilot's core alone: decisions for so many workers, tasks longer than any wait."""
    spec = make_spec()
    tune()
    while True:
        core = Core(Runs(Ledger(make_nodes(workers, cores=1))), {"local": FakeRuntime()}, "local", {})
        tasks = [make_task(number, spec) for number in range(workers * each)]
        yield {"workers": workers, "tasks": len(tasks), "per_s": drive(core, tasks, 60.0)}


def main() -> None:
    """Run all, print and write."""
    parser = sides.parser(__doc__, repeat=3)
    arguments = sides.arguments(parser, measure_rate, core=measure_core)
    most = QUICK if arguments.quick else max(TASKS)
    queues = [_queue(count) for count in TASKS if count <= most]
    shapes = [(1, workers) for workers in WORKERS] + [(blocks, 1) for blocks in BLOCKS[1:]]
    plan = {f"{blocks} x {workers}": (blocks, workers, 3000) for blocks, workers in shapes}
    rates = sides.medians(sides.alternate("benchmarks.studies.growth", plan, arguments.repeat, stay=True))
    cores = [sides.apart("benchmarks.studies.growth", "core", workers, each) for each in EACH for workers in SIMULATED]
    report(queues, list(rates.values()), cores, arguments.out)


def _queue(count: int) -> sides.Numbers:
    with sides.up(queued.MODULE, "queue", [count]) as turn:
        return turn() | turn()


def report(
    queues: Sequence[sides.Numbers], rates: Sequence[sides.Numbers], cores: Sequence[sides.Numbers], out: Path
) -> None:
    """Print the tables; write JSON and a picture."""
    keys = ("in_per_s", "out_per_s", "idle_mb", "bytes_a_task")
    columns = ["tasks", "in, /s", "out, /s", "pilot idle, MB", "bytes a queued task"]
    machine.show("Queued behind one task", columns, _rows(queues, ("tasks", *keys)))
    machine.show("No-op apps", ["blocks", "workers each", "tasks/s"], _rows(rates, ("blocks", "workers", "per_s")))
    machine.show("The core alone", ["workers", "tasks", "dispatches/s"], _rows(cores, ("workers", "tasks", "per_s")))
    file = machine.write(out, "growth", {"queues": queues, "rates": rates, "cores": cores})
    print(f"written: {file}, {picture(queues, rates, cores, out)}")


def _rows(numbers: Sequence[sides.Numbers], keys: Sequence[str]) -> list[list[str]]:
    return [[f"{row[key]:,.0f}" for key in keys] for row in numbers]


def picture(
    queues: Sequence[sides.Numbers], rates: Sequence[sides.Numbers], cores: Sequence[sides.Numbers], out: Path
) -> Path:
    """Draw the three."""
    figure, grid = pictures.canvas(3, size=(11, 3.2))
    counts = [row["tasks"] for row in queues]
    for key, style, label in (("in_per_s", "o-", "into the queue"), ("out_per_s", "s--", "out of it")):
        grid[0, 0].loglog(counts, [row[key] for row in queues], style, color=pictures.OURS, label=label)
    grid[0, 0].legend(fontsize=8, frameon=False)
    grid[0, 0].set_ylim(1e3, 1e5)
    pictures.clean(grid[0, 0], "Tasks per second", "tasks queued")
    named = {f"{row['blocks']:.0f} x {row['workers']:.0f}": row["per_s"] for row in rates}
    pictures.bars(grid[0, 1], named, "{:,.0f}")
    pictures.clean(grid[0, 1], "No-op apps per second, blocks x workers")
    for each, style in zip(EACH, ("s--", "o-"), strict=True):
        rates_ = [row["per_s"] for row in cores if row["tasks"] == each * row["workers"]]
        grid[0, 2].loglog(SIMULATED, rates_, style, color=pictures.OURS, label=f"{each} a worker")
    grid[0, 2].set_ylim(1e4, 1e6)
    grid[0, 2].legend(fontsize=8, frameon=False)
    pictures.clean(grid[0, 2], "The core alone, dispatches per second", "workers")
    return pictures.save(figure, out, "growth")


if __name__ == "__main__":
    main()
