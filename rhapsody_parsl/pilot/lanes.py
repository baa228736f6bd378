"""The lanes of a block, the empty ones too, by what the specifications of their tasks have in common."""

from collections.abc import Callable, Collection, Hashable, Iterator, Mapping

import msgspec

from rhapsody_parsl.annotations.task_spec import TaskSpec, decode_spec
from rhapsody_parsl.errors import UnroutableTask
from rhapsody_parsl.pilot import scheduler
from rhapsody_parsl.pilot.classes import EIGHTH, class_of
from rhapsody_parsl.pilot.lane import Lane
from rhapsody_parsl.pilot.launches import Launches
from rhapsody_parsl.pilot.ledger import Ledger
from rhapsody_parsl.pilot.ordering import waiting_task
from rhapsody_parsl.pilot.router import Refuses, route
from rhapsody_parsl.pilot.shape import Shape, shape_key
from rhapsody_parsl.scheduling.protocol import WaitingTask

__all__ = ("LaneShape", "Lanes")

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


class Lanes:
    """All lanes. One that is empty is kept for its next task: it knows how long they take.

    Args:
        ledger: The block's.
        runtimes: What the router asks, by name.
        default_runtime: For tasks that name none.
        windows: For runtimes whose tasks take no lease: how many they want at once.
        asks_less: Called with a shape whose tasks wait, and of which one asks for less memory than all before it.

    Attributes:
        launches: The block's.
    """

    def __init__(
        self,
        ledger: Ledger,
        runtimes: Mapping[str, Refuses],
        default_runtime: str,
        windows: Mapping[str, int],
        *,
        asks_less: Callable[[LaneShape], None],
    ) -> None:
        self._ledger, self._runtimes, self._default = ledger, runtimes, default_runtime
        self._windows, self._asks_less = windows, asks_less
        self._service_windows: dict[str, int] = {}
        self._specs: dict[bytes, Known] = {}
        self._lanes: dict[TaskSpec, Group] = {}  # by what matters of their specs
        self._kins: dict[TaskSpec, TaskSpec] = {}
        self._lane_count = 0
        self._most_lanes = _MOST_LANES
        self._shapes: dict[Hashable, LaneShape] = {}
        self.launches = Launches()

    def __iter__(self) -> Iterator[Lane]:
        for group in self._lanes.values():
            for by_near in group.values():
                yield from by_near.values()

    def known(self, encoded: bytes) -> Known | None:
        """Return what is known of a spec that came before; None when it did not, or was forgotten."""
        return self._specs.get(encoded)

    def set_window(self, service: str, window: int) -> None:
        """Give the runtime so many requests of a service at once, from now on."""
        self._service_windows[service] = window
        for shape in self._shapes.values():
            if shape.window and shape.spec.service == service:
                shape.window = window

    def of(self, encoded: bytes) -> Known:
        """Return the lane of a spec, the spec, of which that knows only a part, and what the policy is told of it.

        Raises:
            PayloadError: It is no spec.
            UnroutableTask: No runtime takes it, or the whole block could not hold it.
        """
        known = self._specs.get(encoded)
        if known is None:
            spec = decode_spec(encoded)
            if len(self._specs) >= _MOST_SPECS:
                self._specs.clear()
            lane = self._lane_for(spec)
            each = self._ledger.cores_of_a_node if lane.shape.demand.whole else 0
            known = self._specs[encoded] = (lane, spec, waiting_task(spec, lane.runtime, each))
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
            self._asks_less(lane.shape)
        return lane

    def _alike(self, spec: TaskSpec) -> TaskSpec:
        """Return what of a spec decides where tasks can start, and what they are; of most tasks' memory, the class."""
        resources, policy = spec.resources, spec.policy
        if resources.memory and not resources.is_mpi and policy.placement != "exclusive":
            resources = msgspec.structs.replace(resources, memory=class_of(resources.memory, EIGHTH))
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
        return Lane(common, runtime, shape, self._kin(alike, shape))

    def _kin(self, alike: TaskSpec, shape: LaneShape) -> TaskSpec | None:
        """Return the same for tasks of one node that a worker may run after each other, whatever else they ask for.

        Cores that are to be near GPUs are chosen together with these. It is None for tasks that take over from nobody.
        """
        resources, policy = alike.resources, alike.policy
        gang, apart = resources.is_mpi or alike.mailbox, policy.lend or policy.concurrency > 1
        if gang or apart or shape.window or shape.gate != shape.runtime or shape.demand.whole:
            return None
        cores = resources.cores if resources.gpus else min(resources.cores, 1)
        resources = msgspec.structs.replace(resources, cores=cores, memory=float(resources.memory > 0))
        kin = msgspec.structs.replace(alike, resources=resources)
        return self._kins.setdefault(kin, kin)

    def _check(self, spec: TaskSpec, alike: TaskSpec, shape: LaneShape) -> None:
        best = self._ledger.at_best(whole=True)
        if shape.window or shape.fits is best:
            return
        if scheduler.can_ever_fit(alike, self._ledger, whole=True):
            shape.fits = best
        elif not scheduler.can_ever_fit(spec, self._ledger, whole=True):
            raise UnroutableTask("resources", spec.name, scheduler.why_never(spec, self._ledger), "Ask for less")

    def drop_empty(self) -> None:
        """Forget specs that have not been seen for long: a campaign may make up a new one for every task."""
        if self._lane_count <= self._most_lanes:
            return
        kept = {lane for lane in self if len(lane) or lane.runs}
        self._lane_count = len(kept)
        self._most_lanes = max(_MOST_LANES, 2 * self._lane_count)
        used = {alike: _only(group, kept) for alike, group in self._lanes.items()}
        self._lanes = {alike: group for alike, group in used.items() if group}
        self._specs = {encoded: known for encoded, known in self._specs.items() if known[0] in kept}
        self._kins = {lane.kin: lane.kin for lane in kept if lane.kin is not None}
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
