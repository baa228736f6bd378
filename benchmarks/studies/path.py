"""Where the time of a lone task goes: stamps in the real processes it passes, from the call to the result.

`python -m benchmarks path` calls tasks of a kind one after the other and stamps the time at places of the driver and of
all processes of the block (`traces`, `stamps`): no-op apps on plain workers, functions of one `allreduce` on the two
ranks of a standing world (a span ends with the later rank), and requests for one token to the tiny model as a hosted
service; `--of app`, say, for some of them. Sides take turns: stamped, the same without stamps (what the stamps
themselves cost), and for apps ThreadPoolExecutor, whose round trip is the DataFlowKernel's own and two changes of
thread. Medians of the tasks of a turn, then of the turns; medians of parts need not add up to that of the whole.
"""

import itertools
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from parsl.executors.base import ParslExecutor

from benchmarks.library import block, machine, pictures, sides, stamps, traces
from benchmarks.library.apps import add_up, no_op, through_apps
from benchmarks.library.traces import TRACES
from rhapsody_parsl import LocalRuntime, VLLMService

COLOURS = {
    traces.KERNEL: pictures.BASELINE,
    traces.DRIVER: "#1f77b4",
    traces.PILOT: "#3a7d44",
    traces.WORKER: "#e0a100",
    traces.RANKS: "#e0a100",
    traces.REPLICA: "#9467bd",
    traces.SERVING: "#d98cb3",
    traces.ENGINE: "#6b6b6b",
    traces.CHANGE: "#c8553d",
}
_JOINED, _IN_ONE_ROW = "joined", 5


class Kind(NamedTuple):
    """A kind of task.

    Attributes:
        name: In words.
        executor: Makes ours, in a private folder.
        right: Calls a task by its number; returns whether the result is right.
        warm: Tasks before any is measured.
        tasks: Measured in a turn.
        beside: Sides besides ours with and without stamps.
    """

    name: str
    executor: Callable[[str], ParslExecutor]
    right: Callable[[int], bool]
    warm: int = 200
    tasks: int = 1000
    beside: tuple[str, ...] = ()


def _with_tiny_model(folder: str) -> ParslExecutor:
    return block.serving([VLLMService("tiny", block.tiny(folder), cores=1, engine_args=block.ENGINE)])


def _ask(number: int) -> bool:
    return bool(through_apps("tiny")([f"{number}: tell me about this number"], 1))


KINDS = {
    "app": Kind(
        "a no-op app, plain workers",
        lambda _: sides.rhapsody([LocalRuntime()]),
        lambda number: bool(no_op(number).result() == number),
        beside=("threads",),
    ),
    "mpi": Kind(
        "an MPI function, two ranks",
        lambda folder: sides.executor("rhapsody-mpi", folder),
        lambda number: bool(add_up(number).result() == 2 * number),
    ),
    "request": Kind("a request for one token, tiny model", _with_tiny_model, _ask, warm=20, tasks=200),
}


def measure(side: str, folder: str, tasks: int) -> sides.Turns:
    """Measure the round trip of lone tasks in microseconds; when stamped, also each span."""
    of, _, how = side.partition("-")
    kind, stamped, numbers = KINDS[of], how == "stamped", itertools.count()
    if stamped:
        os.environ.update(stamps.environment(of, folder))
        stamps.install("driver", of, folder)
    executor = sides.executor("threads", folder) if how == "threads" else kind.executor(folder)
    with sides.load(executor, folder):
        for number in itertools.islice(numbers, kind.warm):
            _trip(kind, number)
        while True:
            windows = [_trip(kind, number) for number in itertools.islice(numbers, tasks)]
            total = statistics.median(end - begin for begin, end in windows) / 1e3
            yield {"total": total, **(_spans(of, folder, windows) if stamped else {})}


def _trip(kind: Kind, number: int) -> tuple[int, int]:
    begin = time.monotonic_ns()
    right = kind.right(number)
    end = time.monotonic_ns()
    sides.check(right, f"task {number}")
    return begin, end


def _spans(of: str, folder: str, windows: list[tuple[int, int]]) -> sides.Numbers:
    spans = TRACES[of]
    stamped = {place: (span.which, span.of) for place, span in spans.items() if span.role}
    rows = stamps.join(windows, [stamps.read(folder, place) for place in stamped], [*stamped.values()])
    sides.check(len(rows) > len(windows) / 2, f"only {len(rows)} of {len(windows)} tasks are stamped at each place")
    medians = {
        place: statistics.median(row[number + 1] - row[number] for row in rows) / 1e3
        for number, place in enumerate(spans)
    }
    return {**medians, _JOINED: len(rows)}


def main() -> None:
    """Run all, print and write."""
    parser = sides.parser(__doc__)
    parser.add_argument("--of", nargs="+", choices=KINDS, default=[*KINDS], help="what to follow; default: all")
    parser.add_argument("--tasks", type=int, help="a turn; default 1000, of requests 200")
    arguments = sides.arguments(parser, measure)
    followed = {}
    for of in arguments.of:
        kind = KINDS[of]
        plan = {f"{of}-{side}": [arguments.tasks or kind.tasks] for side in ("stamped", "plain", *kind.beside)}
        followed[of] = summary(of, sides.alternate("benchmarks.studies.path", plan, arguments.repeat, stay=True))
        show(kind.name, followed[of])
    file = machine.write(arguments.out, "path", followed)
    print(f"written: {file}, {picture(followed, arguments.out)}")


def summary(of: str, runs: sides.Runs) -> dict[str, Any]:
    """Return the round trip of each side, the spans in order (whose time, from, to, µs), and the sum by whose it is."""
    medians = sides.medians(runs)
    stamped, totals = medians[f"{of}-stamped"], {side.partition("-")[2]: m["total"] for side, m in medians.items()}
    starts = ["the call", *TRACES[of]]
    spans = [
        (span.owner, start, end, stamped[end]) for start, (end, span) in zip(starts, TRACES[of].items(), strict=False)
    ]
    owners = dict.fromkeys(owner for owner, *_ in spans)
    by_owner = {whose: sum(us for owner, _, _, us in spans if owner == whose) for whose in owners}
    return {"totals": totals, "joined": stamped[_JOINED], "spans": spans, "by_owner": by_owner, "runs": runs}


def show(name: str, result: dict[str, Any]) -> None:
    """Print the tables of a kind."""
    rows = [[*words, f"{microseconds:,.0f}"] for *words, microseconds in result["spans"]]
    machine.show(name[0].upper() + name[1:], ["whose time", "from", "to", "µs"], rows)
    totals = result["totals"]
    numbers = {**{f"in all, {side}": total for side, total in totals.items()}, **result["by_owner"]}
    rows = [[what, f"{microseconds:,.0f}"] for what, microseconds in numbers.items()]
    machine.show(f"The stamps cost {totals['stamped'] - totals['plain']:+,.0f} µs", ["", "µs"], rows)


def picture(followed: dict[str, dict[str, Any]], out: Path) -> Path:
    """Draw each trace as a bar in the order of time, coloured by whose time it is."""
    figure, grid = pictures.canvas(1, len(followed), size=(10, 1.9 * len(followed)))
    for axes, (of, result) in zip(grid[:, 0], followed.items(), strict=True):
        _bar(axes, result)
        pictures.clean(axes, "", f"µs after the call of {KINDS[of].name}")
    return pictures.save(figure, out, "path")


def _bar(axes: Axes, result: dict[str, Any]) -> None:
    at, by_owner = 0.0, dict(result["by_owner"])
    columns = len(by_owner) if len(by_owner) <= _IN_ONE_ROW else -(-len(by_owner) // 2)
    for owner, _, _, microseconds in result["spans"]:
        label = f"{owner}, {by_owner.pop(owner):,.0f} µs" if owner in by_owner else ""
        axes.barh([""], [microseconds], left=at, color=COLOURS[owner], label=label, edgecolor="white", linewidth=0.5)
        at += microseconds
    axes.legend(fontsize=8, frameon=False, ncols=columns, loc="lower left", bbox_to_anchor=(0, 1.02))
    axes.margins(x=0)
    axes.set_yticks([])


if __name__ == "__main__":
    main()
