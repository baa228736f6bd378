"""How well a block is filled by a mixed load, while the load grows more mixed.

`python -m benchmarks heterogeneity` runs one block with Dragon, MPI and a model service. It has five declared cores:
one is the service's, four are for tasks, which sleep for a known time. A share of the work, growing from level to
level, is no Python function but bash apps, MPI functions and launched MPI executables (a third of it each; on two
ranks, and the executables four times as long); and that share of the tasks has its end turned into a request to the
model. The rest are Python functions. The core-seconds are the same at each level.

It says how much of the four cores was leased while work waited (by the executor's own ledger: until the last task
began), and the makespan beside the ideal: known core-seconds over cores, with no launch, no dispatch, no tail.
"""

import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from parsl import bash_app, python_app

from benchmarks.library import block, machine, pictures, sides
from benchmarks.library.block import Record, leased
from rhapsody_parsl import MPI, VLLM, RhapsodyExecutor, annotate
from testing.waiting import until

CORES = 4
LEVELS = (0.0, 0.5, 1.0)
MEAN = 0.5
LONGER = 4
BINS = 160
PROGRAM = "import sys, time; from mpi4py import MPI; MPI.COMM_WORLD.Barrier(); time.sleep(float(sys.argv[1]))"


@python_app
def function(seconds: float) -> int:
    """Sleep in a Dragon worker."""
    import time  # noqa: PLC0415 - an app imports where it runs

    time.sleep(seconds)  # noqa: TID251 - the work
    return 0


@bash_app
def command(seconds: float) -> str:
    """Sleep in a shell."""
    return f"sleep {seconds}"


@python_app
@annotate(MPI(ranks=2))
def gang(seconds: float, comm: Any = None) -> int:
    """Sleep on two ranks of the standing world."""
    import time  # noqa: PLC0415 - as above

    comm.barrier()
    time.sleep(seconds)  # noqa: TID251 - the work
    return 0


@bash_app
@annotate(MPI(ranks=2))
def executable(seconds: float, python: str = sys.executable, program: str = PROGRAM) -> str:
    """Sleep on two ranks launched for it."""
    return f"$PARSL_MPI_PREFIX {python} -c '{program}' {seconds}"


@python_app
@annotate(VLLM("tiny", max_tokens=8, ignore_eos=True))
def ask(code: int) -> str:
    """Ask the model about a task's end."""
    return f"It ended with {code}. What next?"


class Kind(NamedTuple):
    """A kind of task: its app, its cores, how long it is on average."""

    app: Callable[[float], Future[int]]
    cores: int
    mean: float


KINDS = {
    "function": Kind(function, 1, MEAN),
    "bash": Kind(command, 1, MEAN),
    "mpi function": Kind(gang, 2, MEAN),
    "mpi executable": Kind(executable, 2, LONGER * MEAN),
}


class Piece(NamedTuple):
    """A task of known length."""

    kind: str
    seconds: float

    @property
    def core_seconds(self) -> float:
        """What it takes."""
        return self.seconds * KINDS[self.kind].cores


def draw(share: float, core_seconds: float) -> list[Piece]:
    """Return a load of which a share is no Python function, in random order, always the same."""
    dice = random.Random(int(share * 100))  # noqa: S311 - no secret
    pieces = []
    for name, kind in KINDS.items():
        part = core_seconds * (1 - share if name == "function" else share / (len(KINDS) - 1))
        count = round(part / (kind.mean * kind.cores))
        lengths = [dice.uniform(0.5, 1.5) for _ in range(count)]
        pieces += [Piece(name, length * part / (kind.cores * sum(lengths))) for length in lengths]
    dice.shuffle(pieces)
    return pieces


def run(share: float, core_seconds: float, executor: RhapsodyExecutor) -> dict[str, Any]:
    """Run one level; return what was measured."""
    pieces = draw(share, core_seconds)
    ends: dict[Future[Any], float] = {}
    began = time.time()
    tasks = [KINDS[piece.kind].app(piece.seconds) for piece in pieces]
    asked = {task: ask(task) for number, task in enumerate(tasks) if number % 4 < 4 * share}
    futures = [*tasks, *asked.values()]
    for future in futures:
        future.add_done_callback(partial(_note, ends))
    sides.check(all(task.result() == 0 for task in tasks), "a task failed")
    sides.check(all(isinstance(request.result(), str) for request in asked.values()), "no text")
    until(lambda: len(ends) == len(futures) and not _held(executor))
    records = [r for r in executor.timeline() if r["runtime"] != "vllm" and r["end"] > began]
    last = max(ends[task] - piece.seconds for task, piece in zip(tasks, pieces, strict=True))
    makespan = max(ends[task] for task in tasks) - began
    ideal = sum(piece.core_seconds for piece in pieces) / CORES
    requests = [ends[request] - ends[task] for task, request in asked.items()]
    return {
        "share": share,
        "tasks": len(tasks),
        "requests": len(asked),
        "leased": leased(records, began, last) / CORES,
        "makespan_s": makespan,
        "ideal_s": ideal,
        "request_p50_ms": statistics.median(requests) * 1e3 if requests else None,
        "waited_s": last - began,
        "over_time": _over_time(records, began, makespan),
    }


def _note(ends: dict[Future[Any], float], future: Future[Any]) -> None:
    ends[future] = time.time()


def _held(executor: RhapsodyExecutor) -> bool:
    (state,) = executor.snapshot()["blocks"]
    return any(lease["runtime"] != "vllm" for lease in state["leases"])


def _over_time(records: Sequence[Record], began: float, makespan: float) -> dict[str, list[float]]:
    """Return the leased cores of each runtime in equal steps of time."""
    step = makespan / BINS
    series = {}
    for runtime in ("dragon", "mpi"):
        own = [record for record in records if record["runtime"] == runtime]
        series[runtime] = [leased(own, began + n * step, began + (n + 1) * step) for n in range(BINS)]
    return series


def measure(levels: Sequence[float], seconds: float) -> list[dict[str, Any]]:
    """Run all levels in one block, everything warm."""
    with tempfile.TemporaryDirectory() as folder:
        executor = block.everything(folder, CORES + 1)
        with sides.load(executor, folder):
            ready = [kind.app(0.1) for kind in KINDS.values() for _ in range(CORES)]
            sides.check(isinstance(ask(ready[0]).result(), str), "no text")
            sides.check(all(task.result() == 0 for task in ready), "a task failed")
            return [run(level, seconds * CORES, executor) for level in levels]


def report(levels: list[dict[str, Any]], out: Path) -> None:
    """Print the table; write JSON and a picture."""
    rows = [
        [
            f"{level['share']:.0%}", str(level["tasks"]), str(level["requests"]), f"{level['leased']:.1%}",
            f"{level['makespan_s']:.1f} s", f"{level['ideal_s']:.1f} s",
            f"{level['ideal_s'] / level['makespan_s']:.1%}",
            f"{level['request_p50_ms']:.0f} ms" if level["requests"] else "",
        ]
        for level in levels
    ]  # fmt: skip
    columns = ["mixed", "tasks", "requests", "leased", "makespan", "ideal", "of ideal", "a request"]
    machine.show("A mixed load on four declared cores, beside a model service", columns, rows)
    file = machine.write(out, "heterogeneity", {"cores": CORES, "levels": levels})
    print(f"written: {file}, {picture(levels, out)}")


def picture(levels: list[dict[str, Any]], out: Path) -> Path:
    """Draw the leased cores over time, a strip for each level."""
    figure, grid = pictures.canvas(1, len(levels), size=(10, 1 + 1.3 * len(levels)), sharex=True)
    for axes, level in zip(grid[:, 0], levels, strict=True):
        step = level["makespan_s"] / BINS
        times = [step * (n + 0.5) for n in range(BINS)]
        series = level["over_time"]
        axes.stackplot(times, *series.values(), labels=list(series), colors=[pictures.COLOURS[r] for r in series])
        axes.axvline(level["ideal_s"], color=pictures.INK, linestyle=":", linewidth=1.2, label="ideal makespan")
        axes.axhline(CORES, color=pictures.BASELINE, linewidth=0.8)
        title = f"{level['share']:.0%} of the work no Python function: {level['leased']:.1%} leased while work waits"
        pictures.clean(axes, title, y="cores")
        axes.set(ylim=(0, CORES * 1.08), yticks=range(0, CORES + 1, 2))
        axes.margins(x=0)
    grid[-1, 0].set_xlabel("seconds", fontsize=9)
    grid[0, 0].legend(fontsize=8, frameon=False, ncols=3, loc="lower right", bbox_to_anchor=(1, 1))
    return pictures.save(figure, out, "heterogeneity")


def main() -> None:
    """Run, print and write."""
    parser = sides.options(__doc__)
    parser.add_argument("--seconds", type=float, default=12, help="ideal makespan of a level")
    arguments = parser.parse_args()
    levels, seconds = ((0.0, 0.75), 5.0) if arguments.quick else (LEVELS, arguments.seconds)
    report(measure(levels, seconds), arguments.out)


if __name__ == "__main__":
    main()
