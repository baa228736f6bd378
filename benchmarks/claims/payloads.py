"""What large arguments and results cost: 1 MB each way beside HighThroughputExecutor, and 100 MB in bounded memory.

`python -m benchmarks payloads` sends bytes to an app that returns them, all calls at once, each executor in a process
of its own, in alternation, and says the CPU and the page faults of driver, pilot (or interchange) and all other
processes. A third side is ours on a host without shared memory, where payloads go over the sockets. Then come some of
100 MB, one after the other and all at once, with the peak memory of the pilot.
"""

import os
import time
from collections.abc import Mapping
from pathlib import Path

from parsl import python_app

from benchmarks.library import machine, pictures, sides
from benchmarks.library.block import pilot
from rhapsody_parsl.wire import shared_memory
from testing.processes import below, peak_memory, processes_of, spent

MEGABYTE, LARGE = 1_000_000, 100_000_000
SOCKETS = "rhapsody-sockets"
PLACES = ("driver", "pilot", "others")


@python_app
def give_back(data: bytes) -> bytes:
    """Return what came."""
    return data


def measure(kind: str, folder: str, tasks: int) -> sides.Turns:
    """Measure the rate of 1 MB each way, and the CPU and the page faults it takes."""
    data = bytes(range(250)) * (MEGABYTE // 250)
    if kind == SOCKETS:
        shared_memory._MEMORY = ""
        kind = "rhapsody-dragon"
    with sides.load(sides.executor(kind, folder), folder):
        for future in [give_back(data) for _ in range(2)]:
            future.result()
        while True:
            before, began = _spent(), time.perf_counter()
            futures = [give_back(data) for _ in range(tasks)]
            for future in futures:
                sides.check(future.result() == data, "other bytes")
            seconds, after = time.perf_counter() - began, _spent()
            del futures, future  # the next repetition begins with as much memory
            yield {"per_s": tasks / seconds, **{key: (after[key] - before[key]) / tasks for key in after}}


def _spent() -> sides.Numbers:
    """Return the milliseconds of CPU and the page faults so far, by place."""
    middle = {process.pid for process in [*processes_of("rhapsody_parsl.pilot"), *below("interchange")]}
    others = {process.pid for process in below()} - middle
    numbers = {}
    for place, pids in zip(PLACES, ({os.getpid()}, middle, others), strict=True):
        each = [spent(pid) for pid in pids]
        numbers[f"{place}_ms"] = sum(seconds for seconds, _ in each) * 1e3
        numbers[f"{place}_faults"] = float(sum(faults for _, faults in each))
    return numbers


def measure_large(_kind: str, folder: str, tasks: int) -> sides.Turns:
    """Measure the pilot's peak memory with 100 MB each way: one task at a time, then all at once."""
    data = bytes(range(250)) * (LARGE // 250)
    with sides.load(sides.executor("rhapsody-dragon", folder), folder):
        give_back(b"").result()
        idle = peak()
        began = time.perf_counter()
        for _ in range(tasks):
            sides.check(give_back(data).result() == data, "other bytes")
        seconds, single = (time.perf_counter() - began) / tasks, peak()
        for future in [give_back(data) for _ in range(tasks)]:
            sides.check(future.result() == data, "other bytes")
        yield {"idle_mb": idle, "single_mb": single, "together_mb": peak(), "seconds": seconds, "tasks": tasks}


def peak() -> float:
    """Return the pilot's peak resident memory so far, in MB."""
    return peak_memory(pilot()) / 1e6


def main() -> None:
    """Run all, print and write."""
    parser = sides.parser(__doc__)
    parser.add_argument("--tasks", type=int, default=200, help="of 1 MB, a repetition")
    parser.add_argument("--large", type=int, default=4, help="of 100 MB")
    arguments = sides.arguments(parser, measure, large=measure_large)
    runs = sides.beside_htex("benchmarks.claims.payloads", arguments, SOCKETS)
    report(runs, sides.apart("benchmarks.claims.payloads", "large", arguments.large), arguments.out)


def report(runs: sides.Runs, large: sides.Numbers, out: Path) -> None:
    """Print the tables; write JSON and a picture."""
    medians = sides.medians(runs)
    ratio = sides.show_rates("1 MB each way", medians)
    show_costs(medians)
    memory = [f"{large[key]:,.0f}" for key in ("idle_mb", "single_mb", "together_mb")]
    columns = ["seconds a task", "pilot idle, MB", "one at a time", f"{large['tasks']:.0f} at once"]
    machine.show("100 MB each way: the pilot's peak memory", columns, [[f"{large['seconds']:.2f}", *memory]])
    file = machine.write(out, "payloads", {"medians": medians, "ratio": ratio, "runs": runs, "large": large})
    print(f"written: {file}, {picture(medians, large, out)}")


def show_costs(medians: Mapping[str, sides.Numbers]) -> None:
    """Print the CPU and the page faults of a task, by place."""
    forms = {"ms": "{:.1f}", "faults": "{:,.0f}"}
    rows = [
        [kind, *(form.format(some[f"{place}_{key}"]) for key, form in forms.items() for place in PLACES)]
        for kind, some in medians.items()
    ]
    columns = ["executor", "driver, ms", "pilot", "others", "driver, faults", "pilot", "others"]
    machine.show("1 MB each way: CPU and page faults of a task", columns, rows)


def picture(medians: Mapping[str, sides.Numbers], large: sides.Numbers, out: Path) -> Path:
    """Draw rates, and the pilot's memory."""
    names = {"idle": "idle_mb", "one at a time": "single_mb", f"{large['tasks']:.0f} at once": "together_mb"}
    some = {
        "1 MB each way, tasks per second": {kind: numbers["per_s"] for kind, numbers in medians.items()},
        "100 MB each way, the pilot's peak memory, MB": {name: large[key] for name, key in names.items()},
    }
    return pictures.panels(out, "payloads", 2.8, {title: (values, "{:,.0f}") for title, values in some.items()})


if __name__ == "__main__":
    main()
