"""The tasks that wait: lanes of equal tasks, by the shape of what they ask, and which of them is served first."""

from bisect import insort
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping

import msgspec

from rhapsody_parsl.errors import NodeLost, UnroutableTask
from rhapsody_parsl.pilot import scheduler
from rhapsody_parsl.pilot.lane import Lane
from rhapsody_parsl.pilot.ledger import Ledger
from rhapsody_parsl.pilot.ranking import Ranking
from rhapsody_parsl.pilot.router import Refuses, route
from rhapsody_parsl.pilot.shape import Shape, Size, shape_key
from rhapsody_parsl.pilot.turn import in_turn
from rhapsody_parsl.spec.task_spec import TaskSpec, decode_spec
from rhapsody_parsl.wire.messages import Task

__all__ = ("PATIENCE", "Backlog")

PATIENCE = 3.0
"""Seconds after which whoever waits has nodes kept free."""
_MOST_LANES = 1000
_MOST_SPECS = 4000
_MOST_NAMES = 64
"""Apps with lanes of their own, of those that are alike but for the name: more of them share one."""

LaneShape = Shape[Lane]


class Backlog:
    """The lanes of a block; its length is the number of tasks that wait.

    An empty lane is kept for its next task: it knows how long they take.

    Args:
        ledger: The block's.
        runtimes: What the router asks, by name.
        default_runtime: For tasks that name none.
        windows: For runtimes whose tasks take no lease: how many they want at once.
        ageing: Seconds of waiting that weigh as much as one step of priority.

    Attributes:
        behind: Lanes in which tasks wait, or did, while runs of theirs are under way.
    """

    def __init__(
        self,
        ledger: Ledger,
        runtimes: Mapping[str, Refuses],
        default_runtime: str,
        windows: Mapping[str, int],
        ageing: float,
    ) -> None:
        self._ledger, self._runtimes, self._default = ledger, runtimes, default_runtime
        self._windows, self._ageing = windows, ageing
        self._specs: dict[bytes, tuple[Lane, TaskSpec]] = {}
        self._lanes: dict[TaskSpec, dict[str, Lane]] = {}  # by what matters of their specs, and name
        self._lane_count = 0
        self._most_lanes = _MOST_LANES
        self._shapes: dict[Hashable, LaneShape] = {}
        self._sizes: list[Size] = []
        self._by_size: dict[Size, Ranking[LaneShape]] = {}
        self._requests: Ranking[LaneShape] = Ranking(_order)
        self._fresh: Ranking[LaneShape] = Ranking(_oldest)
        self._late: Ranking[LaneShape] = Ranking(_order)
        self.behind: dict[Lane, None] = {}

    def __len__(self) -> int:
        return sum(len(lane) for shape in self._waiting() for lane in shape.lanes)

    # --- who waits -----------------------------------------------------------------------------------------------

    def put(self, task: Task, now: float) -> Lane:
        """Have a task wait in its lane; return that.

        Raises:
            UnroutableTask: No runtime takes it, or the whole block could not hold it.
            NodeLost: What is left of the block can never hold it.
        """
        lane, spec = self._lane_of(task.spec)
        if self.is_hopeless(lane):
            raise NodeLost(", ".join(self._ledger.away), "what is left of the block cannot hold it")
        if lane.put(task, spec.policy.priority, now):
            self._join(lane)
        if lane.runs:
            self.behind[lane] = None
        return lane

    def put_back(self, lane: Lane, tasks: list[Task], now: float) -> None:
        """Have tasks wait again, in front of their lane."""
        if tasks:
            lane.put_back([(task, self._lane_of(task.spec)[1].policy.priority) for task in tasks], now)
            self._join(lane)
            self.behind[lane] = None

    def walltime_of(self, task: Task) -> float:
        """Return the seconds after which a task is to be ended; 0 is none."""
        return self._lane_of(task.spec)[1].policy.walltime

    def name_of(self, task: Task, lane: Lane) -> str:
        """Return the name of the app of a lane's task."""
        return self._lane_of(task.spec)[1].name if lane.mixed else lane.spec.name

    def take(self, of: Callable[[Lane], bool] = lambda _: True) -> list[Task]:
        """Take out all tasks, or those of some lanes."""
        lanes = [lane for shape in self._waiting() for lane in shape.lanes if len(lane)]
        return [task for lane in lanes if of(lane) for task in lane.take(len(lane))]

    def sole(self) -> Lane | None:
        """Return the one lane in which tasks wait; None when there are several or none."""
        found: Lane | None = None
        for shape in self._waiting():
            for lane in shape.lanes:
                if len(lane):
                    if found is not None:
                        return None
                    found = lane
        return found

    def is_empty(self) -> bool:
        """Whether no task waits; if so, old lanes are dropped."""
        if self._requests.first() or any(shapes.first() for shapes in self._by_size.values()):
            return False
        self._sizes.clear()
        self._by_size.clear()
        self._drop_empty()
        return True

    def is_hopeless(self, lane: Lane) -> bool:
        """Whether what is left of the block can never hold a lane's tasks."""
        return bool(self._ledger.away) and not lane.window and not scheduler.can_ever_fit(lane.spec, self._ledger)

    def _join(self, lane: Lane) -> None:
        shape = lane.shape
        shape.add(lane)
        if shape.window:
            self._requests.add(shape)
            return
        shapes = self._by_size.get(shape.size)
        if shapes is None:
            insort(self._sizes, shape.size)
            shapes = self._by_size[shape.size] = Ranking(_order)
        shapes.add(shape)
        self._fresh.add(shape)

    def _waiting(self) -> Iterator[LaneShape]:
        yield from self._requests
        for shapes in self._by_size.values():
            yield from shapes

    # --- who is served -------------------------------------------------------------------------------------------

    def in_order(self, now: float, ready: Collection[str]) -> Iterator[Lane]:
        """Yield lanes of runtimes that are ready, the first claim first, each to be served until it finds no room.

        Where one finds none the others of its shape would not either, and are passed over. So are, unless they are
        late, all for which fewer cores are free than they need.
        """
        if self._requests:
            yield from in_turn([self._requests], ready, self._has_cores)
        while (shape := self._fresh.first()) and self.is_late(shape, now):
            self._fresh.pop()
            self._late.add(shape)
        self._forget()
        fitting = [shapes for shapes in self._by_size.values() if (first := shapes.first()) and self._has_cores(first)]
        yield from in_turn([self._late, *fitting], ready, self._has_cores)

    def lanes_behind(self) -> list[Lane]:
        """Return the lanes in which tasks wait while runs of theirs are under way, the first claim first."""
        if not self.behind:
            return []
        self.behind = {lane: None for lane in self.behind if len(lane) and lane.runs}
        return sorted(self.behind, key=lambda lane: lane.order or 0.0)

    def note_late(self, shape: LaneShape, now: float) -> bool:
        """Return whether a shape is late; if it was and is no more, its time begins anew."""
        if self.is_late(shape, now):
            return True
        self._fresh.add(shape)
        return False

    def is_late(self, shape: LaneShape, now: float) -> bool:
        """Whether a task of a shape has waited for long."""
        oldest = shape.oldest
        return oldest is not None and now - oldest > PATIENCE

    def next_late(self, now: float) -> list[float]:
        """Return in how many seconds the next shape will be late; once it is, only ends help."""
        shape = self._fresh.first()
        oldest = shape.oldest if shape else None
        return [] if oldest is None or now - oldest > PATIENCE else [PATIENCE + 0.01 - (now - oldest)]

    def is_alone(self, lane: Lane) -> bool:
        """Whether surely nobody else waits for nodes, when tasks wait in this lane."""
        if len(self._by_size) != 1 or len(lane.shape.lanes) != 1:
            return False
        (shapes,) = self._by_size.values()
        return len(shapes) == 1

    def waits_before(self, order: float, cores: int, ready: Collection[str]) -> bool:
        """Whether somebody with an older claim would have room on a node with so many free cores."""
        for size in self._sizes:
            if size.cores > cores:
                return False
            if size.of_one_node and size.runtime in ready:
                first = self._by_size[size].first()
                claim = first.order if first else None
                if claim is not None and claim < order:
                    return True
        return False

    def _has_cores(self, shape: LaneShape) -> bool:
        size = shape.size
        return size.cores <= self._ledger.free_cores and size.on_a_node <= self._ledger.shelf.most

    def _forget(self) -> None:
        for size in [size for size in self._sizes if self._by_size[size].first() is None]:
            self._sizes.remove(size)
            del self._by_size[size]
        self._drop_empty()

    # --- lanes ---------------------------------------------------------------------------------------------------

    def known_lane(self, encoded: bytes) -> Lane | None:
        """Return the lane of a spec that came before; None when it did not, or was forgotten."""
        known = self._specs.get(encoded)
        return known[0] if known else None

    def _lane_of(self, encoded: bytes) -> tuple[Lane, TaskSpec]:
        """Return the lane of a spec, and the spec, of which that knows only a part."""
        known = self._specs.get(encoded)
        if known is None:
            spec = decode_spec(encoded)
            if len(self._specs) >= _MOST_SPECS:
                self._specs.clear()
            known = self._specs[encoded] = (self._lane_for(spec), spec)
        return known

    def _lane_for(self, spec: TaskSpec) -> Lane:
        """Return the lane of tasks that differ in nothing that decides where they start and how long they take."""
        policy = msgspec.structs.replace(
            spec.policy, priority=0.0, walltime=0.0, labels=self._ledger.alike(spec.policy.labels)
        )
        alike = msgspec.structs.replace(spec, name="", policy=policy)
        lanes = self._lanes.get(alike, {})
        mixed = spec.name not in lanes and len(lanes) >= _MOST_NAMES and not spec.resources.is_mpi
        name = "" if mixed else spec.name
        lane = lanes.get(name)
        if lane is None:
            lane = lanes[name] = self._open(spec, msgspec.structs.replace(alike, name=name))
            self._lanes[alike] = lanes
            self._lane_count += 1
        lane.mixed = lane.mixed or mixed
        lane.timed = lane.timed or bool(spec.policy.walltime)
        return lane

    def _open(self, spec: TaskSpec, alike: TaskSpec) -> Lane:
        runtime = route(spec, self._runtimes, self._default)
        window = self._windows.get(runtime, 0)
        key = shape_key(alike, runtime, window)
        shape = self._shapes.get(key) or Shape[Lane](alike, runtime, window)
        best = self._ledger.at_best(whole=True)
        if not window and shape.fits is not best and not scheduler.can_ever_fit(alike, self._ledger, whole=True):
            raise UnroutableTask("resources", spec.name, scheduler.why_never(spec, self._ledger), "Ask for less")
        shape.fits = best
        self._shapes[key] = shape
        return Lane(alike, runtime, self._ageing, shape)

    def _drop_empty(self) -> None:
        """Forget specs that have not been seen for long: a campaign may make up a new one for every task."""
        if self._lane_count <= self._most_lanes:
            return
        kept = {lane for lanes in self._lanes.values() for lane in lanes.values() if len(lane) or lane.runs}
        self._lane_count = len(kept)
        self._most_lanes = max(_MOST_LANES, 2 * self._lane_count)
        used = {
            alike: {name: lane for name, lane in lanes.items() if lane in kept} for alike, lanes in self._lanes.items()
        }
        self._lanes = {alike: lanes for alike, lanes in used.items() if lanes}
        self._specs = {encoded: known for encoded, known in self._specs.items() if known[0] in kept}
        shapes = {lane.shape for lane in kept}
        self._shapes = {key: shape for key, shape in self._shapes.items() if shape in shapes}


def _order(shape: LaneShape) -> float | None:
    return shape.order


def _oldest(shape: LaneShape) -> float | None:
    return shape.oldest
