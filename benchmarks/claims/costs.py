"""What we cost the machine: CPU of driver and pilot for a task, of an idle block for nothing; the pilot's memory.

`python -m benchmarks costs` measures, each side in a process of its own, in alternation:

- the driver's CPU for a no-op app under this executor, and under one that ends every task at once, which is the
  DataFlowKernel's own part;
- the pilot's CPU for that app, and that of a process that drives the same Dragon workers by hand;
- the pilot's memory, idle and with a million tasks queued (as `python -m benchmarks growth`, which has fewer, too);
- meanwhile, over a minute at least, the CPU of all processes of a block with two Dragon workers and a two-rank world
  where nothing is to be done. All of this is CPU time, which sides do not take from each other by taking turns.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import psutil
from parsl.executors.base import ParslExecutor

from benchmarks.library import direct_backend, machine, pictures, queued, sides
from benchmarks.library.apps import add_up, no_op
from benchmarks.library.block import pilot
from rhapsody_parsl import DragonRuntime, MPIRuntime
from testing.processes import below

QUEUED, QUICK = 1_000_000, 10_000


class AtOnce(ParslExecutor):
    """Ends every task in `submit`."""

    label = "x"

    def start(self) -> None:
        """Nothing to start."""

    def submit(self, func: Any, resource_specification: Any, *args: Any, **kwargs: Any) -> Future[Any]:
        """Return the first argument."""
        future: Future[Any] = Future()
        future.set_result(args[0])
        return future

    def shutdown(self) -> None:
        """Nothing to end."""


def measure(kind: str, folder: str, tasks: int) -> sides.Turns:
    """Measure the CPU of each side for a task, in milliseconds."""
    ours = kind == "rhapsody-dragon"
    with sides.load(sides.executor(kind, folder) if ours else AtOnce(), folder):
        for future in [no_op(number) for number in range(100)]:
            future.result()
        of_pilot = _clock(pilot()) if ours else lambda: 0.0
        while True:
            driver, block = time.process_time(), of_pilot()
            futures = [no_op(number) for number in range(tasks)]
            sides.check([future.result() for future in futures] == list(range(tasks)), "another number")
            own = {"driver_ms": (time.process_time() - driver) / tasks * 1e3}
            yield {**own, "pilot_ms": (of_pilot() - block) / tasks * 1e3} if ours else own


def measure_direct(_kind: str, _folder: str, tasks: int) -> sides.Turns:
    """Measure what the pilot's work costs without a pilot."""
    for _, own in direct_backend.measure(tasks):
        yield {"pilot_ms": own * 1e3}


def _clock(process: psutil.Process) -> Callable[[], float]:
    return lambda: sum(process.cpu_times()[:2])


def measure_idle(_kind: str, folder: str, seconds: int) -> sides.Turns:
    """Let so many seconds pass between the first turn and the second; that has the CPU in percent of a core."""
    with sides.load(sides.rhapsody([DragonRuntime(), MPIRuntime()]), folder):
        for future in [*(no_op(number) for number in range(4)), *(add_up(number) for number in range(4))]:
            future.result()
        threading.Event().wait(3)
        before, driver, began = _used(), time.process_time(), time.monotonic()
        yield {}
        threading.Event().wait(max(0.0, began + seconds - time.monotonic()))
        after, passed = _used(), time.monotonic() - began
        sides.check(set(before) == set(after), "an idle block's processes changed")
        block = {pid: (after[pid] - before[pid]) / passed * 100 for pid in after}
        yield {
            "block": sum(block.values()),
            "pilot": block[pilot().pid],
            "driver": (time.process_time() - driver) / passed * 100,
            "processes": len(block),
            "seconds": passed,
        }


def _used() -> dict[int, float]:
    """Return the CPU seconds of every process below us."""
    return {process.pid: sum(process.cpu_times()[:2]) for process in below()}


def main() -> None:
    """Run all, print and write."""
    parser = sides.parser(__doc__)
    parser.add_argument("--tasks", type=int, default=5_000)
    parser.add_argument("--seconds", type=int, default=60, help="of idling")
    arguments = sides.arguments(parser, measure, direct=measure_direct, idle=measure_idle)
    plan = {kind: [arguments.tasks] for kind in ("rhapsody-dragon", "at-once", "direct")}
    seconds = 10 if arguments.quick else arguments.seconds
    with sides.up("benchmarks.claims.costs", "idle", [seconds]) as idle:
        idle()  # its time begins
        runs = sides.alternate("benchmarks.claims.costs", plan, arguments.repeat, stay=True)
        memory = sides.apart(queued.MODULE, "queue", QUICK if arguments.quick else QUEUED)
        report(runs, idle(), memory, arguments.out)


def report(runs: sides.Runs, idle: sides.Numbers, memory: sides.Numbers, out: Path) -> None:
    """Print the tables; write JSON and a picture."""
    medians = sides.medians(runs)
    ours = medians["rhapsody-dragon"]
    parts = {"driver": (ours["driver_ms"], medians["at-once"]["driver_ms"]),
             "pilot": (ours["pilot_ms"], medians["direct"]["pilot_ms"])}  # fmt: skip
    rows = [[name, *(f"{value:.3f}" for value in (both, base, both - base))] for name, (both, base) in parts.items()]
    machine.show("CPU of a no-op app, ms", ["", "in all", "DFK, or by hand", "ours"], rows)
    shares = {name: idle[name] for name in ("block", "pilot", "driver")}
    columns = ["processes", *(f"{name}, % of a core" for name in shares)]
    row = [f"{idle['processes']:.0f}", *(f"{share:.1f}" for share in shares.values())]
    machine.show(f"An idle block over {idle['seconds']:.0f} s", columns, [row])
    row = [f"{memory['idle_mb']:.0f}", f"{memory['tasks']:,.0f}", f"{memory['bytes_a_task']:.0f}"]
    machine.show("The pilot's memory", ["idle, MB", "queued tasks", "bytes for each"], [row])
    own = {f"{name}_own_ms": both - base for name, (both, base) in parts.items()}
    file = machine.write(out, "costs", {"medians": medians, "own": own, "idle": idle, "queue": memory, "runs": runs})
    print(f"written: {file}, {picture(parts, shares, out)}")


def picture(parts: dict[str, tuple[float, float]], shares: dict[str, float], out: Path) -> Path:
    """Draw CPU a task, and of idling."""
    figure, grid = pictures.canvas(2, size=(10, 2.6))
    split = {
        "DataFlowKernel, or driven by hand": [base for _, base in parts.values()],
        "ours": [both - base for both, base in parts.values()],
    }
    pictures.stack(grid[0, 0], list(parts), split, [pictures.BASELINE, pictures.OURS])
    pictures.clean(grid[0, 0], "", "CPU of a no-op app, ms")
    pictures.bars(grid[0, 1], shares, "{:.1f}")
    pictures.clean(grid[0, 1], "An idle block, % of one core")
    return pictures.save(figure, out, "costs")


if __name__ == "__main__":
    main()
