"""The tasks that wait: a lane for each spec, and which of the lanes is served first."""

from collections.abc import Callable, Mapping, Sequence

from rhapsody_parsl.errors import NodeLost, UnroutableTask
from rhapsody_parsl.pilot import scheduler
from rhapsody_parsl.pilot.lane import Lane
from rhapsody_parsl.pilot.ledger import Ledger
from rhapsody_parsl.pilot.router import Refuses, route
from rhapsody_parsl.spec.task_spec import decode_spec
from rhapsody_parsl.wire.messages import Task

__all__ = ("Backlog",)

_MOST_LANES = 1000


class Backlog:
    """The lanes of a block; its length is the number of tasks that wait.

    An empty lane is kept for its spec's next task: it knows how long they take.

    Args:
        ledger: The block's.
        runtimes: What the router asks, by name.
        default_runtime: For tasks that name none.
        windows: For runtimes whose tasks take no lease: how many they want at once.
        ageing: Seconds of waiting that weigh as much as one step of priority.
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
        self._lanes: dict[bytes, Lane] = {}
        self._waiting: dict[bytes, Lane] = {}

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def put(self, task: Task, now: float) -> Lane:
        """Have a task wait at the end of its lane; return that.

        Raises:
            UnroutableTask: No runtime takes it, or the whole block could not hold it.
            NodeLost: What is left of the block can never hold it.
        """
        lane = self._lanes.get(task.spec)
        if lane is None:
            lane = self._open(task.spec)
        if self.is_hopeless(lane):
            raise NodeLost(", ".join(self._ledger.away), "what is left of the block cannot hold it")
        lane.put((task,), now)
        self._waiting[task.spec] = lane
        return lane

    def put_back(self, lane: Lane, tasks: list[Task], now: float) -> None:
        """Have tasks wait again, in front of their lane."""
        if tasks:
            lane.put_back(tasks, now)
            self._waiting[tasks[0].spec] = lane

    def take(self, of: Callable[[Lane], bool] = lambda _: True) -> list[Task]:
        """Take out all tasks, or those of some lanes."""
        return [task for lane in self._waiting.values() if of(lane) for task in lane.take(len(lane))]

    def in_order(self) -> Sequence[Lane]:
        """Return the lanes in which tasks wait, the oldest claim first."""
        lanes = [lane for lane in self._waiting.values() if len(lane)]
        if len(lanes) != len(self._waiting):
            self._waiting = {key: lane for key, lane in self._waiting.items() if len(lane)}
            self._drop_empty()
        if len(lanes) > 1:
            lanes.sort(key=lambda lane: lane.order)
        return lanes

    def is_empty(self) -> bool:
        """Whether no task waits; if so, old lanes are dropped."""
        if any(map(len, self._waiting.values())):
            return False
        self._waiting.clear()
        self._drop_empty()
        return True

    def is_hopeless(self, lane: Lane) -> bool:
        """Whether what is left of the block can never hold a lane's tasks."""
        return bool(self._ledger.away) and not lane.window and not scheduler.can_ever_fit(lane.spec, self._ledger)

    def _open(self, encoded: bytes) -> Lane:
        spec = decode_spec(encoded)
        runtime = route(spec, self._runtimes, self._default)
        window = self._windows.get(runtime, 0)
        if not window and not scheduler.can_ever_fit(spec, self._ledger, whole=True):
            raise UnroutableTask("resources", spec.name, scheduler.why_never(spec, self._ledger), "Ask for less")
        lane = self._lanes[encoded] = Lane(spec, runtime, window, self._ageing)
        return lane

    def _drop_empty(self) -> None:
        """Forget specs that have not been seen for long: a campaign may make up a new one for every task."""
        if len(self._lanes) > _MOST_LANES:
            self._lanes = {key: lane for key, lane in self._lanes.items() if len(lane) or lane.runs}
