"""The tasks that wait: lanes of equal tasks, by the shape of what they ask, and which of them is served first."""

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping

import msgspec

from rhapsody_parsl.annotations.resources import Part
from rhapsody_parsl.annotations.task_spec import TaskSpec, decode_spec
from rhapsody_parsl.errors import NodeLost, UnroutableTask
from rhapsody_parsl.pilot import scheduler
from rhapsody_parsl.pilot.account import Account
from rhapsody_parsl.pilot.groups import Groups
from rhapsody_parsl.pilot.lane import Lane
from rhapsody_parsl.pilot.ledger import Ledger
from rhapsody_parsl.pilot.ranking import Ranking
from rhapsody_parsl.pilot.router import Refuses, route
from rhapsody_parsl.pilot.shape import Shape, memory_class, shape_key
from rhapsody_parsl.pilot.turn import in_turn
from rhapsody_parsl.wire.messages import Task

__all__ = ("PATIENCE", "Backlog")

PATIENCE = 3.0
"""Seconds after which whoever waits has nodes kept free."""
_MOST_LANES = 1000
_MOST_SPECS = 4000
_MOST_OF_A_KIND = 64
"""Apps with lanes of their own, of those that are alike but for the name: more of them share one. So do tasks `near`
something, when as many lanes of their shape wait."""

LaneShape = Shape[Lane]
Group = dict[str | None, dict[str | None, Lane]]
"""Lanes by the app's name and by what their tasks are to be near; None: many of them."""


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
        behind: Lanes in which short tasks wait, or did, while runs of theirs are under way.
    """

    def __init__(
        self,
        ledger: Ledger,
        runtimes: Mapping[str, Refuses],
        default_runtime: str,
        windows: Mapping[str, int],
        *,
        ageing: float,
    ) -> None:
        self._ledger, self._runtimes, self._default = ledger, runtimes, default_runtime
        self._windows, self._ageing = windows, ageing
        self._specs: dict[bytes, tuple[Lane, TaskSpec]] = {}
        self._lanes: dict[TaskSpec, Group] = {}  # by what matters of their specs
        self._lane_count = 0
        self._most_lanes = _MOST_LANES
        self._shapes: dict[Hashable, LaneShape] = {}
        self._groups = Groups()
        self._claims: Ranking[LaneShape] = Ranking(_order)  # of all who wait for nodes
        self._requests: Ranking[LaneShape] = Ranking(_order)
        self._fresh: Ranking[LaneShape] = Ranking(_oldest)
        self._late: dict[str, Ranking[LaneShape]] = {}  # by runtime
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
        if self.is_hopeless(task):
            raise NodeLost(", ".join(self._ledger.away), "what is left of the block cannot hold it")
        if lane.put(task, spec, now):
            self._join(lane)
        if lane.runs:
            self.behind[lane] = None
        return lane

    def put_back(self, lane: Lane, tasks: list[Task], now: float) -> None:
        """Have tasks wait again, in front of their lane."""
        if tasks:
            lane.put_back([(task, self._lane_of(task.spec)[1]) for task in tasks], now)
            self._join(lane)
            self.behind[lane] = None

    def spec_of(self, task: Task) -> TaskSpec:
        """Return a task's spec."""
        known = self._specs.get(task.spec)
        return decode_spec(task.spec) if known is None else known[1]

    def wants(self, lane: Lane) -> TaskSpec:
        """Return what the first task of a lane wants; of those whose tasks all want the same, in all that decides."""
        first = lane.first if lane.varied or lane.scattered else None
        return lane.spec if first is None else self.spec_of(first)

    def name_of(self, task: Task, lane: Lane) -> str:
        """Return the name of the app of a lane's task."""
        return self.spec_of(task).name if lane.mixed else lane.spec.name

    def take(self, of: Callable[[Lane], bool] = lambda _: True) -> list[Task]:
        """Take out all tasks, or those of some lanes."""
        lanes = [lane for shape in self._waiting() for lane in shape.lanes if len(lane)]
        return [task for lane in lanes if of(lane) for task in lane.take(len(lane))]

    def take_if(self, of: Callable[[Task], bool]) -> list[Task]:
        """Take out some tasks."""
        lanes = [lane for shape in self._waiting() for lane in shape.lanes if len(lane)]
        return [task for lane in lanes for task in lane.take_if(of)]

    def sole(self) -> Lane | None:
        """Return the one lane in which tasks wait; None when there are several or none, or where they go matters."""
        found: Lane | None = None
        for shape in self._waiting():
            for lane in shape.lanes:
                if len(lane):
                    if found is not None:
                        return None
                    found = lane
        return None if found is not None and found.scattered else found

    def is_empty(self) -> bool:
        """Whether no task waits; if so, old lanes are dropped."""
        if self._claims.first() or self._requests.first():
            return False
        self._groups.clear()
        self._late.clear()
        self._drop_empty()
        return True

    def is_hopeless(self, task: Task) -> bool:
        """Whether what is left of the block can never hold a task."""
        if not self._ledger.away:
            return False
        lane, spec = self._lane_of(task.spec)
        return not lane.window and not scheduler.can_ever_fit(spec, self._ledger)

    def take_hopeless(self) -> list[Task]:
        """Take out all tasks that what is left of the block can never hold."""
        lanes = [lane for shape in self._waiting() for lane in shape.lanes if not lane.window]
        taken: list[Task] = []
        for lane in lanes:
            most = msgspec.structs.replace(lane.spec.resources, memory=lane.most)
            if not scheduler.can_ever_fit(msgspec.structs.replace(lane.spec, resources=most), self._ledger):
                taken += lane.take_if(self.is_hopeless) if lane.varied else lane.take(len(lane))
        return taken

    def _join(self, lane: Lane) -> None:
        shape = lane.shape
        shape.add(lane)
        if shape.window:
            self._requests.add(shape)
            return
        self._claims.add(shape)
        self._fresh.add(shape)
        self._groups.add(shape)

    def _waiting(self) -> Iterator[LaneShape]:
        yield from self._requests
        yield from self._claims

    # --- who is served -------------------------------------------------------------------------------------------

    def in_order(self, ready: Collection[str], first: Iterable[LaneShape] = ()) -> Iterator[Lane]:
        """Yield lanes of runtimes that are ready, the first claim first, each to be served until it finds no room.

        Where one finds none the others of its shape would not either, and are passed over. So are all that surely find
        none on the open nodes.

        Args:
            ready: Names of the runtimes.
            first: Shapes that may find room on other nodes.
        """
        if self._requests:
            yield from in_turn([self._requests], ready)
        others: Ranking[LaneShape] = Ranking(_order)
        for shape in first:
            others.add(shape)
        yield from in_turn([others, *self._groups.fitting(ready)], ready)
        self._drop_empty()

    def lanes_behind(self) -> list[Lane]:
        """Return the lanes of short tasks that wait while runs of theirs are under way, the first claim first."""
        if not self.behind:
            return []
        self.behind = {lane: None for lane in self.behind if lane.prefetch > 1 and len(lane) and lane.runs}
        return sorted(self.behind, key=lambda lane: lane.order or 0.0)

    def first_claim(self) -> LaneShape | None:
        """Return the shape with the first claim of all that wait for nodes."""
        return self._claims.first()

    def first_late(self, now: float, ready: Collection[str]) -> LaneShape | None:
        """Return the shape with the first claim of those that have waited for long, until it is taken out."""
        while (front := self._fresh.front()) and now - front[0] > PATIENCE:
            self._fresh.pop()
            self._late.setdefault(front[1].runtime, Ranking(_order)).add(front[1])
        fronts = [self._late_of(runtime, now) for runtime in self._late if runtime in ready]
        return min(filter(None, fronts), key=lambda shape: shape.order or 0.0, default=None)

    def _late_of(self, runtime: str, now: float) -> LaneShape | None:
        late = self._late[runtime]
        while (shape := late.first()) is not None and not self.is_late(shape, now):
            late.pop()
            self._fresh.add(shape)
        return shape

    def take_late(self, shape: LaneShape) -> None:
        """The shape that `first_late` returned has nodes kept free."""
        self._late[shape.runtime].pop()

    def keep_none(self, shape: LaneShape) -> None:
        """A shape has no nodes kept free any more; if tasks of it wait, it will be late again."""
        self._fresh.add(shape)

    def is_late(self, shape: LaneShape, now: float) -> bool:
        """Whether a task of a shape has waited for long."""
        oldest = shape.oldest
        return oldest is not None and now - oldest > PATIENCE

    def next_late(self, now: float) -> list[float]:
        """Return in how many seconds the next shape will be late; once it is, only ends help."""
        front = self._fresh.front()
        return [] if front is None or now - front[0] > PATIENCE else [PATIENCE + 0.01 - (now - front[0])]

    def is_alone(self, lane: Lane) -> bool:
        """Whether surely nobody else waits for nodes, when tasks wait in this lane."""
        return len(self._claims) == 1 and len(lane.shape.lanes) == 1

    def waits_before(self, order: float, account: Account, back: Part, ready: Collection[str]) -> bool:
        """Whether somebody with an older claim would have room on a node, if so much more of it were free."""
        front = self._claims.front()
        return front is not None and front[0] < order and self._groups.waits_before(order, account, back, ready)

    # --- lanes ---------------------------------------------------------------------------------------------------

    def known_lane(self, encoded: bytes) -> Lane | None:
        """Return the lane of a spec that came before; None when it did not, or was forgotten."""
        known = self._specs.get(encoded)
        return known[0] if known else None

    def lane_of(self, encoded: bytes) -> Lane:
        """Return the lane of an encoded spec, made if need be.

        Raises:
            PayloadError: It is no spec.
            UnroutableTask: No runtime takes it, or the whole block could not hold it.
        """
        return self._lane_of(encoded)[0]

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
        """Return the lane of tasks that can follow each other in a run, and may take as long as each other."""
        alike = self._alike(spec)
        group = self._lanes.get(alike, {})
        name, near = self._place_in(group, spec)
        lane = group.get(name, {}).get(near)
        if lane is None:
            lane = self._open(spec, alike, name or "", near or "")
            self._lanes.setdefault(alike, group).setdefault(name, {})[near] = lane
            self._lane_count += 1
        else:
            self._check(spec, alike, lane.shape)
        _note(lane, spec)
        if lane.shape.asks(spec.resources.memory) and lane.shape.order is not None:
            self._groups.add(lane.shape)
        return lane

    def _alike(self, spec: TaskSpec) -> TaskSpec:
        """Return what of a spec decides where tasks can start, and what they are; of most tasks' memory, the class."""
        resources, policy = spec.resources, spec.policy
        if resources.memory and not resources.is_mpi and policy.placement != "exclusive":
            resources = msgspec.structs.replace(resources, memory=memory_class(resources.memory))
        labels = self._ledger.alike(policy.labels)
        policy = msgspec.structs.replace(policy, priority=0.0, walltime=0.0, near="", labels=labels)
        return msgspec.structs.replace(spec, name="", resources=resources, policy=policy)

    def _place_in(self, group: Group, spec: TaskSpec) -> tuple[str | None, str | None]:
        """Return by which name and `near` a spec's lane is found; gangs have lanes of their own."""
        name: str | None = spec.name
        near: str | None = spec.policy.near
        if spec.resources.is_mpi:
            return name, near
        if name not in group and len(group) >= _MOST_OF_A_KIND:
            name = None
        of_name = group.get(name)
        if of_name and near not in of_name:
            lanes = next(iter(of_name.values())).shape.lanes
            if len(lanes) >= _MOST_OF_A_KIND and lanes.first() and len(lanes) >= _MOST_OF_A_KIND:  # some had gone
                near = None
        return name, near

    def _open(self, spec: TaskSpec, alike: TaskSpec, name: str, near: str) -> Lane:
        runtime = route(spec, self._runtimes, self._default)
        window = self._windows.get(runtime, 0)
        key = shape_key(alike, runtime, window)
        shape = self._shapes.get(key) or Shape[Lane](alike, runtime, window, self._ledger.open)
        self._check(spec, alike, shape)
        self._shapes[key] = shape
        policy = msgspec.structs.replace(alike.policy, near=near)
        common = msgspec.structs.replace(alike, name=name, resources=spec.resources, policy=policy)
        return Lane(common, runtime, self._ageing, shape)

    def _check(self, spec: TaskSpec, alike: TaskSpec, shape: LaneShape) -> None:
        best = self._ledger.at_best(whole=True)
        if shape.window or shape.fits is best:
            return
        if scheduler.can_ever_fit(alike, self._ledger, whole=True):
            shape.fits = best
        elif not scheduler.can_ever_fit(spec, self._ledger, whole=True):
            raise UnroutableTask("resources", spec.name, scheduler.why_never(spec, self._ledger), "Ask for less")

    def _drop_empty(self) -> None:
        """Forget specs that have not been seen for long: a campaign may make up a new one for every task."""
        if self._lane_count <= self._most_lanes:
            return
        kept = {
            lane
            for group in self._lanes.values()
            for by_near in group.values()
            for lane in by_near.values()
            if len(lane) or lane.runs
        }
        self._lane_count = len(kept)
        self._most_lanes = max(_MOST_LANES, 2 * self._lane_count)
        used = {alike: _only(group, kept) for alike, group in self._lanes.items()}
        self._lanes = {alike: group for alike, group in used.items() if group}
        self._specs = {encoded: known for encoded, known in self._specs.items() if known[0] in kept}
        shapes = {lane.shape for lane in kept}
        self._shapes = {key: shape for key, shape in self._shapes.items() if shape in shapes}


def _note(lane: Lane, spec: TaskSpec) -> None:
    """A lane has tasks of this spec: note in what they differ from its others."""
    policy, memory = spec.policy, spec.resources.memory
    lane.timed = lane.timed or bool(policy.walltime)
    lane.mixed = lane.mixed or spec.name != lane.spec.name
    lane.scattered = lane.scattered or policy.near != lane.spec.policy.near
    if memory != lane.most:
        lane.varied, lane.most = True, max(lane.most, memory)


def _only(group: Group, kept: Collection[Lane]) -> Group:
    """Return what of a group is kept."""
    lanes = {name: {near: lane for near, lane in by_near.items() if lane in kept} for name, by_near in group.items()}
    return {name: by_near for name, by_near in lanes.items() if by_near}


def _order(shape: LaneShape) -> float | None:
    return shape.order


def _oldest(shape: LaneShape) -> float | None:
    return shape.oldest
