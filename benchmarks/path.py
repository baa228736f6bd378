"""Where the time of a lone app goes: stamps in driver, pilot and worker, from the call to the result.

`python -m benchmarks.path` calls no-op apps one after the other, on plain workers, and stamps the time at places of the
real processes (`stamps`). Three sides take turns: stamped, the same without stamps (what the stamps themselves cost),
and ThreadPoolExecutor, whose round trip is the DataFlowKernel's own and two changes of thread. Medians of the apps of
a turn, then of the turns; medians of parts need not add up to that of the whole.
"""

import os
import statistics
import time
from pathlib import Path

from benchmarks import machine, pictures, sides, stamps
from benchmarks.overhead import no_op
from rhapsody_parsl import LocalRuntime

LEGS = {
    "submit": ("Parsl's DataFlowKernel", "the call", "our submit"),
    "packed": ("driver", "submit", "packed"),
    "given": ("driver", "packed", "at the socket"),
    "arrived": ("change of process, kernel", "at the socket", "in the pilot"),
    "decided": ("pilot", "in the pilot", "decided"),
    "fed": ("pilot", "decided", "at the worker's socket"),
    "received": ("change of process, kernel", "at the worker's socket", "in the worker"),
    "begun": ("worker", "in the worker", "begun"),
    "run": ("worker", "begun", "run"),
    "sent": ("worker", "run", "at the pilot's socket"),
    "back": ("change of process, kernel", "at the pilot's socket", "back in the pilot"),
    "reported": ("pilot", "back in the pilot", "at the driver's socket"),
    "heard": ("change of process, kernel", "at the driver's socket", "in the driver"),
    "opened": ("driver", "in the driver", "result opened"),
    "caller": ("Parsl's DataFlowKernel", "result opened", "in the caller's hands"),
}
"""The legs of the way by the place where each ends: whose time it is, from where, to where."""
COLOURS = {
    "Parsl's DataFlowKernel": pictures.BASELINE,
    "driver": "#1f77b4",
    "pilot": "#3a7d44",
    "worker": "#e0a100",
    "change of process, kernel": "#c8553d",
}


def measure(kind: str, folder: str, apps: int) -> sides.Turns:
    """Measure the round trip of lone apps in microseconds; when stamped, also each leg."""
    stamped = kind == "stamped"
    if stamped:
        os.environ.update(stamps.environment(folder))
        stamps.install("driver", folder)
    executor = sides.executor("threads", folder) if kind == "threads" else sides.rhapsody([LocalRuntime()])
    with sides.load(executor, folder):
        for number in range(200):
            no_op(number).result()
        while True:
            windows = [_trip(number) for number in range(apps)]
            total = statistics.median(end - begin for begin, end in windows) / 1e3
            yield {"total": total, **(_legs(folder, windows) if stamped else {})}


def _trip(number: int) -> tuple[int, int]:
    begin = time.monotonic_ns()
    result = no_op(number).result()
    end = time.monotonic_ns()
    sides.check(result == number, "another number")
    return begin, end


def _legs(folder: str, windows: list[tuple[int, int]]) -> sides.Numbers:
    rows = stamps.join(windows, [stamps.read(folder, place) for place in list(LEGS)[:-1]])
    sides.check(len(rows) > len(windows) / 2, f"only {len(rows)} of {len(windows)} apps have one stamp at each place")
    return {
        leg: statistics.median(row[place + 1] - row[place] for row in rows) / 1e3 for place, leg in enumerate(LEGS)
    } | {"apps": len(rows)}


def main() -> None:
    """Run all, print and write."""
    parser = sides.parser(__doc__)
    parser.add_argument("--apps", type=int, default=1000, help="a turn")
    arguments = sides.arguments(parser, measure)
    plan = {kind: [arguments.apps] for kind in ("stamped", "plain", "threads")}
    report(sides.alternate("benchmarks.path", plan, arguments.repeat, stay=True), arguments.out)


def report(runs: sides.Runs, out: Path) -> None:
    """Print the tables; write JSON and a picture."""
    medians = sides.medians(runs)
    legs = {leg: medians["stamped"][leg] for leg in LEGS}
    rows = [[*LEGS[leg], f"{microseconds:.0f}"] for leg, microseconds in legs.items()]
    machine.show("A lone app, plain workers", ["whose time", "from", "to", "µs"], rows)
    totals = {kind: some["total"] for kind, some in medians.items()}
    machine.show(
        "In all",
        [*totals, "stamps"],
        [[*(f"{total:.0f} µs" for total in totals.values()), f"{totals['stamped'] - totals['plain']:+.0f} µs"]],
    )
    by_owner = {owner: sum(us for leg, us in legs.items() if LEGS[leg][0] == owner) for owner in COLOURS}
    file = machine.write(out, "path", {"medians": medians, "legs": LEGS, "by_owner": by_owner, "runs": runs})
    print(f"written: {file}, {picture(legs, by_owner, out)}")


def picture(legs: dict[str, float], by_owner: dict[str, float], out: Path) -> Path:
    """Draw the way as one bar in the order of time, coloured by whose time it is."""
    figure, grid = pictures.canvas(1, size=(10, 1.7))
    axes, at, labelled = grid[0, 0], 0.0, set[str]()
    for leg, microseconds in legs.items():
        owner = LEGS[leg][0]
        label = "" if owner in labelled else f"{owner}, {by_owner[owner]:.0f} µs"
        axes.barh([""], [microseconds], left=at, color=COLOURS[owner], label=label, edgecolor="white", linewidth=0.5)
        labelled.add(owner)
        at += microseconds
    axes.legend(fontsize=8, frameon=False, ncols=5, loc="lower left", bbox_to_anchor=(0, 1.02))
    pictures.clean(axes, "", "µs after the call of a no-op app, plain workers")
    axes.margins(x=0)
    return pictures.save(figure, out, "path")


if __name__ == "__main__":
    main()
