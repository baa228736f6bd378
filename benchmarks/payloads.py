"""What large arguments and results cost: 1 MB each way beside HighThroughputExecutor, and 100 MB in bounded memory.

`python -m benchmarks.payloads` sends bytes to an app that returns them, all calls at once, each executor in a
process of its own, in alternation; and then some of 100 MB, one after the other and all at once, and says the peak
memory of the pilot, through which they pass.
"""

import time
from pathlib import Path

import psutil
from parsl import python_app

from benchmarks import machine, pictures, sides
from testing.processes import peak_memory, processes_of

MEGABYTE, LARGE = 1_000_000, 100_000_000


@python_app
def give_back(data: bytes) -> bytes:
    """Return what came."""
    return data


def measure(kind: str, folder: str, tasks: int) -> sides.Numbers:
    """Measure the rate of 1 MB each way."""
    data = bytes(range(250)) * (MEGABYTE // 250)
    with sides.load(sides.executor(kind, folder), folder):
        for future in [give_back(data) for _ in range(2)]:
            future.result()
        began = time.perf_counter()
        futures = [give_back(data) for _ in range(tasks)]
        for future in futures:
            sides.check(future.result() == data, "other bytes")
        return {"per_s": tasks / (time.perf_counter() - began)}


def measure_large(_kind: str, folder: str, tasks: int) -> sides.Numbers:
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
        return {"idle_mb": idle, "single_mb": single, "together_mb": peak(), "seconds": seconds, "tasks": tasks}


def pilot() -> psutil.Process:
    """Return the pilot of our one block."""
    return processes_of("rhapsody_parsl.pilot")[0]


def peak() -> float:
    """Return the pilot's peak resident memory so far, in MB."""
    return peak_memory(pilot()) / 1e6


def main() -> None:
    """Run all, print and write."""
    parser = sides.parser(__doc__)
    parser.add_argument("--tasks", type=int, default=200, help="of 1 MB, a repetition")
    parser.add_argument("--large", type=int, default=4, help="of 100 MB")
    arguments = parser.parse_args()
    if arguments.one:
        sides.one(arguments.one, measure_large if arguments.one[0] == "rhapsody-large" else measure)
        return
    plan = {"rhapsody-dragon": [arguments.tasks], "htex": [arguments.tasks]}
    runs = sides.alternate("benchmarks.payloads", plan, 1 if arguments.quick else arguments.repeat)
    large = sides.apart("benchmarks.payloads", "rhapsody-large", arguments.large)
    report(runs, large, arguments.out)


def report(runs: sides.Runs, large: sides.Numbers, out: Path) -> None:
    """Print the tables; write JSON and a picture."""
    medians = sides.medians(runs)
    ratio = sides.show_rates("1 MB each way", medians)
    memory = [f"{large[key]:,.0f}" for key in ("idle_mb", "single_mb", "together_mb")]
    columns = ["seconds a task", "pilot idle, MB", "one at a time", f"{large['tasks']:.0f} at once"]
    machine.show("100 MB each way: the pilot's peak memory", columns, [[f"{large['seconds']:.2f}", *memory]])
    file = machine.write(out, "payloads", {"medians": medians, "ratio": ratio, "runs": runs, "large": large})
    print(f"written: {file}, {picture(medians, large, out)}")


def picture(medians: dict[str, sides.Numbers], large: sides.Numbers, out: Path) -> Path:
    """Draw rates, and the pilot's memory."""
    figure, grid = pictures.canvas(2, size=(10, 2.8))
    pictures.bars(grid[0, 0], {kind: numbers["per_s"] for kind, numbers in medians.items()}, "{:,.0f}")
    pictures.clean(grid[0, 0], "1 MB each way, tasks per second")
    names = {"idle": "idle_mb", "one at a time": "single_mb", f"{large['tasks']:.0f} at once": "together_mb"}
    pictures.bars(grid[0, 1], {name: large[key] for name, key in names.items()}, "{:,.0f}")
    pictures.clean(grid[0, 1], "100 MB each way, the pilot's peak memory, MB")
    return pictures.save(figure, out, "payloads")


if __name__ == "__main__":
    main()
