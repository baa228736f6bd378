"""A loop of simulation, inference, simulation: what one turn costs beyond its parts, and how that grows with its data.

`python -m benchmarks coupling` runs one block with MPI, Dragon and a tiny model, which has a core of its own. A turn is
an MPI function that computes for a known time and returns its state (over two ranks, or one where there are only two
cores), then a request whose app reads that state and asks the model, then the next MPI function, which takes the state
and the model's words. The turns are one chain of futures,
submitted at once, as a campaign's are.

The time of a turn is split by when its futures end. What the simulation took is measured on rank 0, what the model took
by vLLM's own metrics; the rest is control: serialization, transport, scheduling and Parsl. The state goes three ways in
a turn: out of the simulation, into the request, into the next simulation. These are means, for vLLM counts no others.

A second table has arrays of 1, 10 and 100 MB as states, which go as values, by reference, in files, by ProxyStore in
files and in Redis, where these are installed, and in Dragon's DDict: in turns, all in one block. The futures of a chain
are held, and so all its states are; in one row each state is deleted once the next one is there. A task of Dragon's has
one process, and attaches to the dictionary anew in each turn. These are medians: here the model's part of each turn is
what the record of the run says of its request, with vLLM's serving layer, which takes a millisecond. A third one says
what the kernel alone takes for such a state. What an app makes of its state, as the next array, is simulation, and not
control.
"""

import gc
import statistics
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import Future
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy
from parsl import python_app

from benchmarks.library import block, machine, pictures, sides, states
from benchmarks.library.bare_memory import bare
from rhapsody_parsl import MPI, VLLM, Ref, annotate
from rhapsody_parsl.record.reading import read
from rhapsody_parsl.record.run import TaskRecord
from testing.waiting import until

PAYLOADS = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
STATES = (1_000_000, 10_000_000, 100_000_000)
RANKS = states.RANKS
MOVES = 3
SIMULATION = 0.020
TOKENS = 8
HEAD = 8
PARTS = {"simulation": "#2a6f97", "model": "#c8553d", "control, to the model": "#e0a100", "control, back": "#f0d58c"}


@python_app
@annotate(MPI(ranks=RANKS))
def simulate(before: tuple[bytes, float], words: str, seconds: float, comm: Any = None) -> tuple[bytes, float]:
    """Compute for a while on all ranks; return the next state and the time it took."""
    import time  # noqa: PLC0415 - an app imports where it runs

    began = time.perf_counter()
    state = before[0]
    while time.perf_counter() - began < seconds:
        pass
    comm.barrier()
    step = int.from_bytes(state[:8], "big") + bool(words)
    return step.to_bytes(8, "big") + state[8:], time.perf_counter() - began


@python_app
@annotate(VLLM("tiny", max_tokens=8, ignore_eos=True))
def advise(result: tuple[bytes, float]) -> str:
    """Ask what to do after this state."""
    return f"Step {int.from_bytes(result[0][:8], 'big')}: what next?"


@python_app
def engine_time() -> tuple[float, float]:
    """Return the seconds all requests took so far by vLLM's own count, and their number."""
    import urllib.request  # noqa: PLC0415 - as above

    from rhapsody_parsl import service  # noqa: PLC0415 - as above

    url = service("tiny").url.replace("/v1", "/metrics")
    with urllib.request.urlopen(url) as answer:  # noqa: S310 - our own service
        lines = answer.read().decode().splitlines()

    def total(name: str) -> float:
        return sum(float(line.split()[-1]) for line in lines if line.startswith(f"vllm:e2e_request_latency_{name}"))

    return total("seconds_sum"), total("seconds_count")


class Chain:
    """The turns of one payload on one way, as futures with the times they ended."""

    def __init__(self, payload: int, turns: int, way: states.Way) -> None:
        self._way = way
        self.ends: dict[Future[Any], float] = {}
        self.simulations: list[Future[Any]] = []
        self.requests: list[Future[str]] = []
        self.took: list[float] = []
        self._simulate(way.first(payload), "go")
        for _ in range(turns):
            self.requests.append(self._timed(way.advise(self.simulations[-1])))
            self._simulate(self.simulations[-1], self.requests[-1])

    def _simulate(self, before: Any, words: Any) -> None:
        self.simulations.append(self._timed(self._way.simulate(before, words, SIMULATION)))

    def _timed(self, future: Future[Any]) -> Future[Any]:
        future.add_done_callback(lambda done: self.ends.setdefault(done, time.perf_counter()))
        return future

    def wait(self) -> None:
        """Wait for the last turn, and check that each was taken."""
        for before, after in pairwise(self.simulations if self._way.is_deleted else ()):
            self.took.append(value_of(after)[1])
            before.result().delete()
        turns = step_of(value_of(self.simulations[-1])[0])
        until(lambda: len(self.ends) == len(self.simulations) + len(self.requests))
        sides.check(turns == len(self.simulations), f"{turns} steps of {len(self.simulations)}")

    def legs(self) -> tuple[list[float], list[float], list[float]]:
        """Return each turn's seconds to the model's words, from there to the next state, and in the simulation."""
        ends = [self.ends[future] for future in self.simulations]
        said = [self.ends[future] for future in self.requests]
        there = [words - state for state, words in zip(ends[:-1], said, strict=True)]
        back = [state - words for state, words in zip(ends[1:], said, strict=True)]
        return there, back, self.took or [value_of(future)[1] for future in self.simulations[1:]]


def value_of(future: Future[Any]) -> Any:
    """Return a result, wherever it lies."""
    result = future.result()
    return result.result() if isinstance(result, Ref) else result


def step_of(state: Any) -> int:
    """Return the number of steps that a state has behind it."""
    if isinstance(state, int):
        return state
    if isinstance(state, bytes):
        return int.from_bytes(state[:HEAD], "big")
    return int((numpy.load(state, mmap_mode="r") if isinstance(state, str) else state)[0])


BYTES = states.Way("bytes", simulate, advise, lambda size: (bytes(size), 0.0))


def in_replica(folder: str, since: float, turns: int) -> list[float]:
    """Return the seconds that a replica took for each of the last requests, by the record of the run.

    Args:
        folder: The run directory.
        since: Seconds since the epoch; none of the requests was submitted before.
        turns: How many there are.
    """

    def requests() -> list[TaskRecord]:
        found = [task for task in read(folder).tasks if task.runtime == "vllm" and task.submitted >= since]
        return found if len(found) == turns else []

    return [task.seconds for task in sorted(until(requests), key=lambda task: task.submitted)]


def run(folder: str, payload: int, turns: int, way: states.Way = BYTES) -> dict[str, Any]:
    """Take the turns with one payload; return milliseconds.

    Args:
        folder: The run directory.
        payload: Bytes of the state.
        turns: How many.
        way: Of the state.
    """
    seconds, count = engine_time().result()
    since = time.time()
    chain = Chain(payload, turns, way)
    chain.wait()
    later, asked = engine_time().result()
    sides.check(asked - count == turns, f"vLLM counted {asked - count} requests of {turns}")
    model = (later - seconds) / turns
    there, back, inside = chain.legs()
    each = zip(there, back, inside, in_replica(folder, since, turns), strict=True)
    ends = [chain.ends[future] for future in chain.simulations]
    to_model = statistics.fmean(there) - model
    way_back = statistics.fmean(back) - statistics.fmean(inside)
    parts = {
        "turn_ms": (ends[-1] - ends[0]) / turns,
        "simulation_ms": statistics.fmean(inside),
        "model_ms": model,
        "control_ms": to_model + way_back,
        "control_median_ms": statistics.median(to - asked + back - own for to, back, own, asked in each),
        "to_model_ms": to_model,
        "back_ms": way_back,
    }
    milliseconds = {name: seconds * 1e3 for name, seconds in parts.items()}
    return {"payload_bytes": payload, "moved_bytes": MOVES * payload, "turns": turns, **milliseconds}


def measure(
    payloads: Sequence[int], turns: int, sizes: Sequence[int]
) -> tuple[list[dict[str, Any]], dict[str, list[dict[str, Any]]]]:
    """Run all payloads, and all sizes of states on each way, in one block, everything warm."""
    with tempfile.TemporaryDirectory() as folder:
        executor = block.everything(folder, RANKS + 1, states.CACHE)
        with sides.load(executor, folder):
            sides.check(isinstance(advise((bytes(HEAD), 0.0)).result(), str), "no text")  # the service is up
            run(folder, payloads[0], 5)
            results = [run(folder, payload, turns) for payload in payloads]
            with states.ways(executor, Path(folder)) as ways:
                return results, compare(folder, ways, sizes, turns // 2)


def compare(
    folder: str, ways: Sequence[states.Way], sizes: Sequence[int], turns: int
) -> dict[str, list[dict[str, Any]]]:
    """Run each size of states on each way, the ways in turn."""
    for way in ways:
        run(folder, sizes[0], 2, way)
    found: dict[str, list[dict[str, Any]]] = {way.name: [] for way in ways}
    for size_ in sizes:
        for way in ways:
            found[way.name].append(run(folder, size_, turns, way))
            gc.collect()  # Parsl's futures are in rings, and hold what they gave
    return found


def size(count: float) -> str:
    """Return bytes in words."""
    for unit, many in (("MB", 1e6), ("kB", 1e3)):
        if count >= many:
            return f"{count / many:g} {unit}"
    return f"{count:g} B"


def report(results: list[dict[str, Any]], found: dict[str, list[dict[str, Any]]], out: Path) -> None:
    """Print the table; write JSON and a picture."""
    keys = ("turn_ms", "simulation_ms", "model_ms", "control_ms", "to_model_ms", "back_ms")
    rows = [
        [size(result["payload_bytes"]), size(result["moved_bytes"]), *(f"{result[key]:.1f}" for key in keys)]
        for result in results
    ]
    columns = ["state", "moved a turn", "turn", "simulation", "model", "control", "to the model", "back"]
    machine.show("A turn of simulation and inference: means, ms", columns, rows)
    sizes = [size(result["payload_bytes"]) for result in next(iter(found.values()))]
    by_way = [[name, *(f"{each['control_median_ms']:.1f}" for each in every)] for name, every in found.items()]
    machine.show("Control of a turn, by the way of its state: medians, ms", ["way", *sizes], by_way)
    alone = {
        name: bare(result["payload_bytes"]) for name, result in zip(sizes, next(iter(found.values())), strict=True)
    }
    steps = list(next(iter(alone.values())))
    rows = [[name, *(f"{each[step]:.1f}" for step in steps)] for name, each in alone.items()]
    machine.show("A state in shared memory, the kernel alone: medians, ms of CPU time", ["state", *steps], rows)
    written = {"simulation_s": SIMULATION, "tokens": TOKENS, "payloads": results, "ways": found, "bare": alone}
    file = machine.write(out, "coupling", written)
    print(f"written: {file}, {picture(results, out)}")


def picture(results: list[dict[str, Any]], out: Path) -> Path:
    """Draw the parts of a turn, and control over data."""
    figure, grid = pictures.canvas(2, size=(10, 3.8))
    names = [size(result["payload_bytes"]) for result in results]
    keys = ("simulation_ms", "model_ms", "to_model_ms", "back_ms")
    parts = {name: [result[key] for result in results] for name, key in zip(PARTS, keys, strict=True)}
    pictures.stack(grid[0, 0], names, parts, list(PARTS.values()))
    pictures.clean(grid[0, 0], "Parts of a turn, by the size of its state", "ms")
    moved = [result["moved_bytes"] / 1e6 for result in results]
    grid[0, 1].loglog(moved, [result["control_ms"] for result in results], "o-", color=pictures.OURS)
    grid[0, 1].set_ylim(1, 100)
    pictures.clean(grid[0, 1], "Control of a turn", "MB moved in it", "ms")
    return pictures.save(figure, out, "coupling")


def main() -> None:
    """Run, print and write."""
    parser = sides.options(__doc__)
    parser.add_argument("--turns", type=int, default=30, help="for each size of state")
    arguments = parser.parse_args()
    quick = arguments.quick
    payloads, turns = ((1_000, 1_000_000), 10) if quick else (PAYLOADS, arguments.turns)
    report(*measure(payloads, turns, STATES[:2] if quick else STATES), arguments.out)


if __name__ == "__main__":
    main()
