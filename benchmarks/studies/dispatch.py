"""Where the time of a dispatch goes in the pilot's core, and what of it grows with the workers.

`python -m benchmarks dispatch` drives the pilot's real core, with nothing around it, for 100, 1,000 and 10,000 workers.
Each repetition measures three times: as the pilot runs; without Python's cyclic garbage collector, so that the
difference is what collections cost; and under cProfile, whose shares by function are applied to the time without both.
"""

import cProfile
import gc
import pstats
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks.library import machine, pictures, sides
from rhapsody_parsl.pilot.core import Core
from rhapsody_parsl.pilot.gc_tuning import tune
from rhapsody_parsl.pilot.ledger import Ledger
from rhapsody_parsl.pilot.runs import Runs
from testing.nodes import make_nodes, make_spec, make_task
from testing.rates import drive
from testing.simulation import FakeRuntime

OURS = "rhapsody_parsl"
SHOWN = 12
SIMULATED = (100, 1_000, 10_000)
EACH = (1, 100)
"""Tasks a worker, as in `growth`."""
MOST = 100_000
"""Tasks of a measurement: cProfile makes each ten times as dear."""


def measure(_kind: str, _folder: str, workers: int, tasks: int) -> sides.Turns:
    """Measure microseconds a dispatch: with the collector, in it, without it, and by function."""
    tune()
    while True:
        with _collections() as collected:
            with_collector = _drive(workers, tasks)
        gc.disable()
        without = _drive(workers, tasks)
        profile = cProfile.Profile()
        _drive(workers, tasks, profile)
        gc.enable()
        each = 1e6 / tasks
        functions = {name: share * without * each for name, share in _shares(profile).items()}
        yield {"all": with_collector * each, "collector": sum(collected) * each, "rest": without * each,
               "collections": len(collected), **functions}  # fmt: skip


def _drive(workers: int, tasks: int, profile: cProfile.Profile | None = None) -> float:
    """Return the seconds that so many tasks take, each longer than any wait."""
    core = Core(Runs(Ledger(make_nodes(workers, cores=1))), {"local": FakeRuntime()}, "local", {})
    spec = make_spec()
    waiting = [make_task(number, spec) for number in range(tasks)]
    if profile is None:
        return tasks / drive(core, waiting, 60.0)
    return tasks / profile.runcall(drive, core, waiting, 60.0)


@contextmanager
def _collections() -> Iterator[list[float]]:
    """Note how long each run of the collector takes."""
    taken: list[float] = []
    began = 0.0

    def note(phase: str, _info: Mapping[str, int]) -> None:
        nonlocal began
        if phase == "start":
            began = time.perf_counter()
        else:
            taken.append(time.perf_counter() - began)

    gc.callbacks.append(note)
    try:
        yield taken
    finally:
        gc.callbacks.remove(note)


def _shares(profile: cProfile.Profile) -> dict[str, float]:
    """Return each function's own share of the time; what is not ours (built-in, the driving loop) is one."""
    own: dict[str, float] = {}
    for (file, _, name), (_, _, seconds, _, _) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]  # typeshed lacks it
        place = f"{Path(file).stem}.{name}" if OURS in file else "built in, and the loop that drives"
        own[place] = own.get(place, 0.0) + seconds
    total = sum(own.values())
    return {place: seconds / total for place, seconds in own.items()}


def main() -> None:
    """Run all, print and write."""
    parser = sides.parser(__doc__, repeat=3)
    arguments = sides.arguments(parser, measure)
    sizes = [(workers, min(workers * each, MOST)) for each in EACH for workers in SIMULATED]
    plan = {f"{workers:,} x {tasks // workers}": (workers, tasks) for workers, tasks in sizes}
    report(sides.alternate("benchmarks.studies.dispatch", plan, arguments.repeat, stay=True), arguments.out)


def report(runs: sides.Runs, out: Path) -> None:
    """Print the tables; write JSON and a picture."""
    medians = sides.medians(runs)
    parts = {
        "all": "in all",
        "collector": "in the collector",
        "rest": "without collector",
        "collections": "collections",
    }
    rows = [[size, *(f"{some[key]:,.2f}" for key in parts)] for size, some in medians.items()]
    machine.show("A dispatch of the core, µs, by workers x tasks each", ["", *parts.values()], rows)
    names = {name for some in medians.values() for name in some} - set(parts)
    shown = sorted(names, key=lambda name: -max(some.get(name, 0.0) for some in medians.values()))[:SHOWN]
    rows = [[name, *(f"{some.get(name, 0.0):.2f}" for some in medians.values())] for name in shown]
    machine.show("Without the collector, by function, µs", ["", *medians], rows)
    file = machine.write(out, "dispatch", {"medians": medians, "runs": runs})
    print(f"written: {file}, {picture(medians, out)}")


def picture(medians: dict[str, sides.Numbers], out: Path) -> Path:
    """Draw a dispatch with and without the collector."""
    figure, grid = pictures.canvas(1, size=(8, 3.2))
    parts = {"the core": [some["rest"] for some in medians.values()],
             "Python's garbage collector": [some["all"] - some["rest"] for some in medians.values()]}  # fmt: skip
    pictures.stack(grid[0, 0], list(medians), parts, [pictures.OURS, pictures.BASELINE])
    pictures.clean(grid[0, 0], "", "µs a dispatch, workers x tasks each")
    return pictures.save(figure, out, "dispatch")


if __name__ == "__main__":
    main()
