"""What decides where a task can start: tasks of one shape find room or none together, however their specs differ."""

import math
from collections.abc import Hashable
from typing import Generic, NamedTuple, Protocol, TypeVar

import msgspec

from rhapsody_parsl.annotations.task_spec import TaskSpec
from rhapsody_parsl.pilot.ledger import Ledger
from rhapsody_parsl.pilot.ranking import Ranking

__all__ = ("Shape", "Size", "memory_class", "shape_key")

_STEPS = 16
"""Classes of memory in twice an octave: the most of a class is an eighth above the least of it, or less."""


class Waits(Protocol):
    """The part of a lane that its shape sees."""

    @property
    def order(self) -> float | None:
        """Sort key, lowest first; None when nobody waits."""

    @property
    def oldest(self) -> float | None:
        """When the task came that has waited longest; None when nobody waits."""


L = TypeVar("L", bound=Waits)


class Size(NamedTuple):
    """What shapes must have in common to be passed over together: cores that have to be free at the least.

    Attributes:
        cores: In all.
        on_a_node: On one node.
        of_one_node: Whether they are cores of one node, so that the end of one run on it can make room.
        runtime: Name of the runtime.
    """

    cores: int
    on_a_node: int
    of_one_node: bool
    runtime: str


class Shape(Generic[L]):
    """The lanes of one shape.

    Attributes:
        spec: What their specs have in common; of their memory, the most that its class has.
        size: Its size.
        window: For runs that take no lease: how many tasks the runtime wants at once; 0 for all others.
        given: For such runs: tasks with the runtime.
        fits: The block at its best, as it was when all of this shape were last seen to fit; None before.
        lanes: Those in which tasks wait, the first claim first.
        by_age: The same, the oldest task first.
    """

    __slots__ = ("by_age", "fits", "given", "lanes", "size", "spec", "window")

    def __init__(self, spec: TaskSpec, runtime: str, window: int) -> None:
        self.spec, self.window, self.size = spec, window, _size(spec, runtime)
        self.given = 0
        self.fits: Ledger | None = None
        self.lanes: Ranking[L] = Ranking(lambda lane: lane.order)
        self.by_age: Ranking[L] = Ranking(lambda lane: lane.oldest)

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
    def room(self) -> int:
        """How many more tasks the runtime wants now; for runs that take no lease."""
        return self.window - self.given

    def add(self, lane: L) -> None:
        """Tasks wait in a lane, or one came that may be before its others."""
        self.lanes.add(lane)
        self.by_age.add(lane)


def memory_class(memory: float) -> float:
    """Return the most memory of a class: what differs by less than an eighth finds room together.

    Args:
        memory: GB.
    """
    fraction, octave = math.frexp(memory)
    return math.ldexp(math.ceil(fraction * _STEPS) / _STEPS, octave)


def shape_key(spec: TaskSpec, runtime: str, window: int) -> Hashable:
    """Return what specs of one shape have in common."""
    if window:
        return runtime, spec.service
    policy = spec.policy
    resources = msgspec.structs.replace(spec.resources, launcher_options="")
    return runtime, resources, policy.placement, policy.labels


def _size(spec: TaskSpec, runtime: str) -> Size:
    resources = spec.resources
    if not resources.is_mpi:
        return Size(resources.cores, resources.cores, True, runtime)
    each = resources.cores_per_rank
    if not resources.num_nodes:
        return Size(resources.num_ranks * each, each, True, runtime)
    on_a_node = each * (resources.ranks_per_node or 1)
    one_node = resources.num_nodes == 1 and bool(resources.num_ranks)
    return Size(resources.num_nodes * on_a_node, on_a_node, one_node, runtime)
