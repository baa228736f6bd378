"""What changes over a run: how many cores and GPUs work, how many tasks end, how many wait for what."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from rhapsody_parsl.record.run import RunRecord
from rhapsody_parsl.wire.leases import Share

__all__ = ("Bins", "Series", "capacity", "ended", "in_use", "running", "waiting")

BINS = 240


class Series(NamedTuple):
    """Values over time, by name, to be drawn on top of each other, and a line above them."""

    layers: dict[str, list[float]]
    line: list[float]

    def as_data(self) -> dict[str, Any]:
        """Return it for the page."""
        return {"layers": {name: _short(values) for name, values in self.layers.items()}, "line": _short(self.line)}


def _short(values: Iterable[float]) -> list[float]:
    return [round(value, 4) for value in values]


class Bins:
    """Equal parts of a time.

    Args:
        start: Of all, in seconds since the epoch.
        end: See there.
        count: How many.
    """

    def __init__(self, start: float, end: float, count: int = BINS) -> None:
        self.start, self.count = start, count
        self.width = max(end - start, 1e-3) / count

    def spread(self, into: list[float], start: float, end: float, weight: float) -> None:
        """Add a weight to all bins between two times, to those at the ends in part."""
        a, b = (start - self.start) / self.width, (end - self.start) / self.width
        a, b = max(0.0, a), min(float(self.count), b)
        if b <= a:
            return
        first, last = int(a), min(int(b), self.count - 1)
        if first == last:
            into[first] += weight * (b - a)
            return
        into[first] += weight * (first + 1 - a)
        for number in range(first + 1, last):
            into[number] += weight
        into[last] += weight * (b - last)

    def at(self, time: float) -> int:
        """Return the bin of a time."""
        return min(self.count - 1, max(0, int((time - self.start) / self.width)))

    def empty(self) -> list[float]:
        """Return a value for each bin."""
        return [0.0] * self.count


def in_use(run: RunRecord, bins: Bins, held: Callable[[Share], int]) -> dict[str, list[float]]:
    """Return how many cores or GPUs worked, by runtime; a service works as long as it has its lease.

    Args:
        run: The run.
        bins: The time.
        held: Tells how many a share has.
    """
    layers: defaultdict[str, list[float]] = defaultdict(bins.empty)
    for task in run.tasks:
        if task.started and (count := sum(map(held, task.shares))):
            bins.spread(layers[task.runtime], task.started, task.ended, count)
    for block in run.blocks:
        for lease in block.leases:
            if not lease.tasks and (count := sum(map(held, lease.shares))):
                bins.spread(layers["services"], lease.began, lease.ended or block.left or run.ended, count)
    return dict(layers)


def capacity(run: RunRecord, bins: Bins, gpus: bool = False) -> list[float]:
    """Return how many cores or GPUs the blocks had."""
    line = bins.empty()
    for block in run.blocks:
        has = sum(node.gpus for node in block.nodes) if gpus else block.cores
        bins.spread(line, block.joined, block.left or run.ended, has)
    return line


def running(run: RunRecord, bins: Bins) -> dict[str, list[float]]:
    """Return how many tasks ran side by side, by runtime; those that hold no core count, too."""
    layers: defaultdict[str, list[float]] = defaultdict(bins.empty)
    for task in run.tasks:
        if task.started:
            bins.spread(layers[task.runtime], task.started, task.ended, 1)
    return dict(layers)


def ended(run: RunRecord, bins: Bins) -> dict[str, list[float]]:
    """Return how many tasks ended per second, by runtime."""
    layers: defaultdict[str, list[float]] = defaultdict(bins.empty)
    for task in run.tasks:
        layers[task.runtime][bins.at(task.ended)] += 1 / bins.width
    return dict(layers)


def waiting(run: RunRecord, bins: Bins) -> dict[str, list[float]]:
    """Return how many tasks waited, by what they waited for at last; `block` is for a block that takes them."""
    layers: defaultdict[str, list[float]] = defaultdict(bins.empty)
    for task in run.tasks:
        if task.submitted:
            until = task.placed or task.ended
            came = min(task.accepted or until, until)
            if came - task.submitted > bins.width / 100:
                bins.spread(layers["a block"], task.submitted, came, 1)
            if task.waited_for != "nothing":
                bins.spread(layers[task.waited_for], came, until, 1)
    return dict(layers)
