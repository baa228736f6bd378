"""What the waiting tasks wait for: looked at twice per second, since a look at each decision would cost too much."""

from collections import Counter
from collections.abc import Collection
from itertools import islice

from rhapsody_parsl.pilot.backlog import Backlog
from rhapsody_parsl.pilot.lanes import LaneShape
from rhapsody_parsl.pilot.pool import Pool, Room
from rhapsody_parsl.pilot.reservations import Reservations
from rhapsody_parsl.wire.times import WAITS, WaitedFor

__all__ = ("Waits",)

_MOST_SHAPES = 1000
"""Looked at each time; with the first claims among them."""


class Waits:
    """The causes of waiting in a block.

    Args:
        backlog: Who waits.
        pool: The block's open nodes.
        reservations: The nodes that are kept.
        ready: Names of the runtimes that can take tasks.
    """

    def __init__(self, backlog: Backlog, pool: Pool, reservations: Reservations, ready: Collection[str]) -> None:
        self._backlog, self._pool, self._reservations, self._ready = backlog, pool, reservations, ready

    def review(self) -> dict[str, int]:
        """Note for each shape what it waits for; return how many tasks wait for what."""
        counts: Counter[str] = Counter()
        for shape in islice(self._backlog.waiting(), _MOST_SHAPES):
            cause = self._cause(shape)
            counts[cause] += sum(len(lane) for lane in shape.lanes)
            shape.waits_for = WAITS.index(cause)
        return {cause: count for cause, count in counts.items() if count}

    def _cause(self, shape: LaneShape) -> WaitedFor:
        if shape.runtime not in self._ready:
            return "runtime"
        if shape.gate not in self._ready:
            return "launches"
        if shape.window:
            return "service"
        if self._reservations.turns_away(shape):
            return "reservation"
        return self._lacking(shape)

    def _lacking(self, shape: LaneShape) -> WaitedFor:
        """Return what the open nodes lack; `order` when that is nothing."""
        demand = shape.demand
        if Room(self._pool, demand).available(demand.needs) < demand.needs:  # counts cores, or untouched nodes, alone
            return "nodes" if demand.whole or demand.needs > 1 else "cores"
        if demand.plain:
            return "order"
        return shape.scarce
