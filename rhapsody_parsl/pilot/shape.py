"""What decides where a task can start: tasks of one shape find room or none together, however their specs differ."""

from collections.abc import Hashable
from operator import attrgetter
from typing import Generic, Protocol, TypeVar

import msgspec

from rhapsody_parsl.annotations.task_spec import TaskSpec
from rhapsody_parsl.pilot.demand import Demand
from rhapsody_parsl.pilot.ledger import Ledger
from rhapsody_parsl.pilot.lengths import Lengths
from rhapsody_parsl.pilot.pool import Pool
from rhapsody_parsl.pilot.ranking import Ranking
from rhapsody_parsl.wire.times import WAITS, WaitedFor

__all__ = ("Shape", "Waits", "shape_key")


class Waits(Protocol):
    """The part of a lane that its shape sees."""

    @property
    def order(self) -> float | None:
        """Sort key, lowest first; None when nobody waits."""

    @property
    def oldest(self) -> float | None:
        """When the task came that has waited longest; None when nobody waits."""


L = TypeVar("L", bound=Waits)


class Shape(Generic[L]):
    """The lanes of one shape.

    Args:
        spec: What their specs have in common; of their memory, the most that its class has.
        runtime: Name of their runtime.
        window: For runs that take no lease: how many tasks the runtime wants at once; 0 for all others.
        pool: The block's open nodes.
        gate: What has to be ready before its tasks start, see `launches`; default the runtime.

    Attributes:
        spec: See above.
        runtime: See above.
        gate: See above.
        window: See above.
        given: For such runs: tasks with the runtime.
        fits: The block at its best, as it was when all of this shape were last seen to fit; None before.
        demand: What they ask of each node; of memory, the least that one asked so far.
        room: The open nodes that may hold a part of it.
        lanes: Those in which tasks wait, the first claim first.
        by_age: The same, the oldest task first.
        lengths: Their tasks by how long these are expected to take; None while nobody asks.
        waits_for: What it waits for, as last seen, as its place in `WAITS`.
    """

    __slots__ = (
        "_pool", "by_age", "demand", "fits", "gate", "given", "lanes", "lengths", "room", "runtime", "spec",
        "waits_for", "window",
    )  # fmt: skip

    def __init__(self, spec: TaskSpec, runtime: str, window: int, pool: Pool, *, gate: str = "") -> None:
        self.gate = gate or runtime
        self.spec, self.runtime, self.window, self._pool = spec, runtime, window, pool
        self.given = 0
        self.fits: Ledger | None = None
        self.demand = Demand(spec)
        self.room = pool.room(self.demand)
        self.lanes: Ranking[L] = Ranking(attrgetter("order"))
        self.by_age: Ranking[L] = Ranking(attrgetter("oldest"))
        self.lengths: Lengths[L] | None = None
        self.waits_for = WAITS.index(self.scarce)  # until somebody looks

    def asks(self, memory: float) -> bool:
        """A task of it asks for so much memory; return whether that is less than all before it."""
        if memory >= self.demand.memory:
            return False
        self.demand = self.demand.with_memory(memory)
        self.room = self._pool.room(self.demand)
        return True

    def demand_of(self, spec: TaskSpec) -> Demand:
        """Return what a spec of this shape asks of each node."""
        memory = spec.resources.memory
        return self.demand if memory == self.demand.memory else Demand(spec)

    @property
    def has_room(self) -> bool:
        """Whether its first task may find room on the open nodes; False is sure."""
        demand = self.demand
        return self.room.available(demand.needs) >= demand.needs

    @property
    def scarce(self) -> WaitedFor:
        """What of all it asks there is least of, in most blocks."""
        resources = self.spec.resources
        if resources.gpus or resources.gpus_per_rank:
            return "gpus"
        if self.demand.whole or self.demand.needs > 1:
            return "nodes"
        if not self.demand.plain:
            return "memory" if self.demand.memory else "labels"
        return "cores"

    @property
    def order(self) -> float | None:
        """Sort key of the first claim; None when nobody waits."""
        front = self.lanes.front()
        return None if front is None else front[0]

    @property
    def oldest(self) -> float | None:
        """When the task came that has waited longest; None when nobody waits."""
        front = self.by_age.front()
        return None if front is None else front[0]

    @property
    def free_window(self) -> int:
        """How many more tasks the runtime wants now; for runs that take no lease."""
        return self.window - self.given

    def add(self, lane: L) -> None:
        """Tasks wait in a lane, or one came that may be before its others."""
        self.lanes.add(lane)
        self.by_age.add(lane)


def shape_key(spec: TaskSpec, gate: str, window: int) -> Hashable:
    """Return what specs of one shape have in common."""
    if window:
        return gate, spec.service
    policy = spec.policy
    resources = msgspec.structs.replace(spec.resources, launcher_options="")
    return gate, resources, policy.placement, policy.labels
