"""The tasks that wait: lanes of equal tasks, by the shape of what they ask, and which of them is served first."""

import heapq
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping

import msgspec

from rhapsody_parsl.annotations.resources import Part
from rhapsody_parsl.annotations.task_spec import TaskSpec, decode_spec
from rhapsody_parsl.errors import NodeLost, UnroutableTask
from rhapsody_parsl.pilot import scheduler
from rhapsody_parsl.pilot.account import Account
from rhapsody_parsl.pilot.demand import Demand
from rhapsody_parsl.pilot.groups import Groups
from rhapsody_parsl.pilot.lane import Lane
from rhapsody_parsl.pilot.lateness import PATIENCE, Lateness, by_order
from rhapsody_parsl.pilot.launches import Launches
from rhapsody_parsl.pilot.ledger import Ledger
from rhapsody_parsl.pilot.ordering import Ordering, waiting_task
from rhapsody_parsl.pilot.pool import Pool
from rhapsody_parsl.pilot.ranking import Ranking
from rhapsody_parsl.pilot.router import Refuses, route
from rhapsody_parsl.pilot.shape import Shape, memory_class, shape_key
from rhapsody_parsl.pilot.turn import in_turn
from rhapsody_parsl.scheduling.protocol import Scheduling, WaitingTask
from rhapsody_parsl.wire.messages import Task

__all__ = ("Backlog",)

_MOST_HELPED = 8
_MOST_LANES = 1000
_MOST_SPECS = 4000
_MOST_OF_A_KIND = 64
"""Apps with lanes of their own, of those that are alike but for the name: more of them share one. So do tasks `near`
something, when as many lanes of their shape wait."""

LaneShape = Shape[Lane]
Group = dict[str | None, dict[str | None, Lane]]
"""Lanes by the app's name and by what their tasks are to be near; None: many of them."""
Known = tuple[Lane, TaskSpec, WaitingTask]
"""What is known of a spec."""


class Backlog:
    """The lanes of a block; its length is the number of tasks that wait.

    An empty lane is kept for its next task: it knows how long they take.

    Args:
        ledger: The block's.
        runtimes: What the router asks, by name.
        default_runtime: For tasks that name none.
        windows: For runtimes whose tasks take no lease: how many they want at once.
        scheduling: Orders them.

    Attributes:
        ordering: Where each stands.
        lateness: Who of them has waited for long.
        behind: Lanes in which short tasks wait, or did, while runs of theirs are under way.
        joined: Counts the changes of who waits first.
    """

    def __init__(
        self,
        ledger: Ledger,
        runtimes: Mapping[str, Refuses],
        default_runtime: str,
        windows: Mapping[str, int],
        *,
        scheduling: Scheduling,
    ) -> None:
        self._ledger, self._runtimes, self._default = ledger, runtimes, default_runtime
        self._windows = windows
        self._service_windows: dict[str, int] = {}
        self.ordering = Ordering(scheduling, ledger.cores)
        self._specs: dict[bytes, Known] = {}
        self._lanes: dict[TaskSpec, Group] = {}  # by what matters of their specs
        self._lane_count = 0
        self._most_lanes = _MOST_LANES
        self._shapes: dict[Hashable, LaneShape] = {}
        self._groups = Groups()
        self._claims: Ranking[LaneShape] = Ranking(by_order)  # of all who wait for nodes
        self._requests: Ranking[LaneShape] = Ranking(by_order)
        self._launching: Ranking[LaneShape] = Ranking(by_order)
        self.lateness: Lateness[Lane] = Lateness()
        self.launches = Launches()
        self.behind: dict[Lane, None] = {}
        self.joined = 0

    def __len__(self) -> int:
        return sum(len(lane) for shape in self.waiting() for lane in shape.lanes)

    # --- who waits -----------------------------------------------------------------------------------------------

    def put(self, task: Task, now: float) -> Lane:
        """Have a task wait in its lane; return that.

        Raises:
            UnroutableTask: No runtime takes it, or the whole block could not hold it.
            NodeLost: What is left of the block can never hold it.
        """
        lane, _, asks = self._lane_of(task.spec)
        if self.is_hopeless(task):
            raise NodeLost(", ".join(self._ledger.away), "what is left of the block cannot hold it")
        if lane.join(task, self.ordering.claim(asks, now, lane.durations.seconds), now):
            self._join(lane)
        if lane.runs:
            self.behind[lane] = None
        return lane

    def put_back(self, lane: Lane, tasks: list[Task], now: float) -> None:
        """Have tasks wait again, in front of their lane."""
        if tasks:
            arrival = now if (oldest := lane.oldest) is None else min(now, oldest)
            again = self.ordering.claim_again
            lane.put_back([(task, again(self._lane_of(task.spec)[2], arrival)) for task in tasks], arrival)
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
        return [task for lane in self.lanes() if of(lane) for task in lane.take(len(lane))]

    def lanes(self) -> list[Lane]:
        """Return the lanes in which tasks wait."""
        return [lane for shape in self.waiting() for lane in shape.lanes if len(lane)]

    def take_if(self, of: Callable[[Task], bool]) -> list[Task]:
        """Take out some tasks."""
        return [task for lane in self.lanes() for task in lane.take_if(of)]

    def sole(self) -> Lane | None:
        """Return the one lane in which tasks wait; None when there are several or none, or where they go matters."""
        found: Lane | None = None
        for shape in self.waiting():
            for lane in shape.lanes:
                if len(lane):
                    if found is not None:
                        return None
                    found = lane
        return None if found is not None and found.scattered else found

    def long_wanted(self, now: float) -> list[Demand]:
        """Return what those ask who have waited long enough, the first claims first; of many, some."""
        shapes = [shape for shape in self._claims if (oldest := shape.oldest) is not None and oldest <= now - PATIENCE]
        return [shape.demand for shape in heapq.nsmallest(_MOST_HELPED, shapes, key=lambda shape: shape.order or 0.0)]

    def is_empty(self) -> bool:
        """Whether no task waits; if so, old lanes are dropped."""
        if self._claims.first() or self._requests.first():
            return False
        self._groups.clear()
        self.lateness.forget()
        if self.ordering.follows:
            self.ordering.forget()
        self._drop_empty()
        return True

    def is_hopeless(self, task: Task) -> bool:
        """Whether what is left of the block can never hold a task."""
        if not self._ledger.away:
            return False
        lane, spec, _ = self._lane_of(task.spec)
        return not lane.window and not scheduler.can_ever_fit(spec, self._ledger)

    def take_hopeless(self) -> list[Task]:
        """Take out all tasks that what is left of the block can never hold."""
        lanes = [lane for shape in self.waiting() for lane in shape.lanes if not lane.window]
        taken: list[Task] = []
        for lane in lanes:
            most = msgspec.structs.replace(lane.spec.resources, memory=lane.most)
            if not scheduler.can_ever_fit(msgspec.structs.replace(lane.spec, resources=most), self._ledger):
                taken += lane.take_if(self.is_hopeless) if lane.varied else lane.take(len(lane))
        return taken

    def _join(self, lane: Lane) -> None:
        shape = lane.shape
        shape.add(lane)
        self.joined += 1
        if shape.window:
            self._requests.add(shape)
            return
        self._claims.add(shape)
        if lane.launches:
            self._launching.add(shape)
        self.lateness.watch(shape)
        self._groups.add(shape)

    def waiting(self) -> Iterator[LaneShape]:
        """Yield the shapes of all that wait."""
        yield from self._requests
        yield from self._claims

    def set_window(self, service: str, window: int) -> None:
        """Give the runtime so many requests of a service at once, from now on."""
        self._service_windows[service] = window
        for shape in self._shapes.values():
            if shape.window and shape.spec.service == service:
                shape.window = window

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
        others: Ranking[LaneShape] = Ranking(by_order)
        for shape in first:
            others.add(shape)
        yield from in_turn([others, *self._groups.fitting(ready)], ready)
        self._drop_empty()

    def within(self, pool: Pool, ready: Collection[str], of: Callable[[Lane], bool]) -> Iterator[Lane]:
        """Yield some lanes that may find room on nodes of a pool beside the open ones, the first claim first.

        Args:
            pool: The nodes.
            ready: Names of the runtimes that can take tasks.
            of: Says which lanes.
        """
        lanes = (lane for shape in self._groups.fitting_in(pool, ready) for lane in shape.lanes if len(lane))
        yield from sorted(filter(of, lanes), key=lambda lane: lane.order or 0.0)

    def lanes_behind(self) -> list[Lane]:
        """Return the lanes of short tasks that wait while runs of theirs are under way, the first claim first."""
        if not self.behind:
            return []
        self.behind = {lane: None for lane in self.behind if lane.prefetch > 1 and len(lane) and lane.runs}
        return sorted(self.behind, key=lambda lane: lane.order or 0.0)

    def first_claim(self) -> LaneShape | None:
        """Return the shape with the first claim of all that wait for nodes."""
        return self._claims.first()

    def is_alone(self, lane: Lane) -> bool:
        """Whether surely nobody else waits for nodes, when tasks wait in this lane."""
        return len(self._claims) == 1 and len(lane.shape.lanes) == 1

    def waits_before(self, order: float, account: Account, back: Part, ready: Collection[str]) -> bool:
        """Whether somebody with an older claim would have room on a node, if so much more of it were free."""
        front = self._claims.front()
        return front is not None and front[0] < order and self._groups.waits_before(order, account, back, ready)

    def launches_before(self, lane: Lane) -> bool:
        """Whether somebody who launches has an older claim than a lane, and waits because there are enough launches."""
        front, order = self._launching.front() if self.launches.is_full else None, lane.order
        return front is not None and order is not None and front[0] < order

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

    def _lane_of(self, encoded: bytes) -> Known:
        """Return the lane of a spec, the spec, of which that knows only a part, and what the policy is told of it."""
        known = self._specs.get(encoded)
        if known is None:
            spec = decode_spec(encoded)
            if len(self._specs) >= _MOST_SPECS:
                self._specs.clear()
            lane = self._lane_for(spec)
            known = self._specs[encoded] = (lane, spec, waiting_task(spec, lane.runtime))
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
        if window:
            window = self._service_windows.get(spec.service, window)
        gate = self.launches.gate(alike, runtime)
        key = shape_key(alike, gate, window)
        shape = self._shapes.get(key) or Shape[Lane](alike, runtime, window, self._ledger.open, gate=gate)
        self._check(spec, alike, shape)
        self._shapes[key] = shape
        policy = msgspec.structs.replace(alike.policy, near=near)
        common = msgspec.structs.replace(alike, name=name, resources=spec.resources, policy=policy)
        return Lane(common, runtime, shape)

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
