"""The tasks that wait: lanes of equal tasks, by the shape of what they ask, and which of them is served first."""

import heapq
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

import msgspec

from rhapsody_parsl.annotations.resources import Part
from rhapsody_parsl.annotations.task_spec import TaskSpec, decode_spec
from rhapsody_parsl.errors import NodeLost
from rhapsody_parsl.pilot import scheduler
from rhapsody_parsl.pilot.account import Account
from rhapsody_parsl.pilot.demand import Demand
from rhapsody_parsl.pilot.groups import Groups
from rhapsody_parsl.pilot.lane import Lane
from rhapsody_parsl.pilot.lanes import Lanes, LaneShape
from rhapsody_parsl.pilot.lateness import PATIENCE, Lateness, by_order
from rhapsody_parsl.pilot.launches import Launches
from rhapsody_parsl.pilot.ledger import Ledger
from rhapsody_parsl.pilot.lengths import ByWalltime, Lengths
from rhapsody_parsl.pilot.ordering import Ordering
from rhapsody_parsl.pilot.pool import Pool
from rhapsody_parsl.pilot.ranking import Ranking
from rhapsody_parsl.pilot.router import Refuses
from rhapsody_parsl.pilot.turn import Everyone, in_turn
from rhapsody_parsl.scheduling.protocol import Scheduling
from rhapsody_parsl.wire.messages import Task

__all__ = ("Backlog",)

_MOST_HELPED = 8
Found = tuple[float, int, Task, Lane]
"""A task's claim, its number, the task, its lane."""


class Backlog:
    """The lanes of a block; its length is the number of tasks that wait.

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
        self._ledger = ledger
        self.ordering = Ordering(scheduling, ledger.cores)
        self._groups = Groups()
        self._lanes = Lanes(ledger, runtimes, default_runtime, windows, asks_less=self._groups.add)
        self._claims: Ranking[LaneShape] = Ranking(by_order)  # of all who wait for nodes
        self._requests: Ranking[LaneShape] = Ranking(by_order)
        self._launching: Ranking[LaneShape] = Ranking(by_order)
        self.lateness: Lateness[Lane] = Lateness()
        self.behind: dict[Lane, None] = {}
        self._fallen: dict[Lane, None] = {}
        self._latest: tuple[bytes | None, TaskSpec] = None, TaskSpec()
        self.joined = 0

    def __len__(self) -> int:
        return sum(len(lane) for shape in self.waiting() for lane in shape.lanes)

    # --- who waits -----------------------------------------------------------------------------------------------

    def put(self, task: Task, now: float) -> Lane:
        """Have a task wait in its lane; return that. Whoever has put tasks calls `settle` before anything else.

        Raises:
            UnroutableTask: No runtime takes it, or the whole block could not hold it.
            NodeLost: What is left of the block can never hold it.
        """
        lane, _, asks = self._lanes.of(task.spec)
        if self.is_hopeless(task):
            raise NodeLost(", ".join(self._ledger.away), "what is left of the block cannot hold it")
        claim = self.ordering.claim(asks, now, lane.expects(asks.walltime))
        if lane.by_walltime is not None:
            lane.by_walltime.add((claim, task.id, asks.walltime, task))
            self.joined += 1
        if lane.join(task, claim, now):
            if len(lane) == 1:
                self._join(lane)
            else:
                self._fallen[lane] = None
        if lane.runs:
            self.behind[lane] = None
        return lane

    def settle(self) -> None:
        """The first claims of some lanes are other ones now."""
        if self._fallen:
            fallen, self._fallen = self._fallen, {}
            for lane in fallen:
                self._join(lane)

    def put_back(self, lane: Lane, tasks: list[Task], now: float) -> None:
        """Have tasks wait again, in front of their lane."""
        if tasks:
            arrival = now if (oldest := lane.oldest) is None else min(now, oldest)
            again = self.ordering.claim_again
            waiting = [(task, self._lanes.of(task.spec)[2]) for task in tasks]
            claimed = [(task, again(asks, arrival)) for task, asks in waiting]
            lane.put_back(claimed, arrival)
            if lane.by_walltime is not None:
                for (task, claim), (_, asks) in zip(claimed, waiting, strict=True):
                    lane.by_walltime.add((claim, task.id, asks.walltime, task))
            self._join(lane)
            self.behind[lane] = None

    def spec_of(self, task: Task) -> TaskSpec:
        """Return a task's spec."""
        if (known := self._lanes.known(task.spec)) is not None:
            return known[1]
        if task.spec is not self._latest[0]:  # a task that starts is asked for several times
            self._latest = task.spec, decode_spec(task.spec)
        return self._latest[1]

    def wants(self, lane: Lane, task: Task | None = None) -> TaskSpec:
        """Return what a task of a lane wants, or its first; of those that all want the same, in all that decides."""
        first = task or lane.first if lane.varied or lane.scattered else None
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

    def requests(self, service: str) -> int:
        """Return how many requests for a service wait."""
        shapes = [shape for shape in self._requests if shape.spec.service == service]
        return sum(len(lane) for shape in shapes for lane in shape.lanes)

    def known_lanes(self) -> Iterator[Lane]:
        """Return all lanes, the empty ones too."""
        return iter(self._lanes)

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
        self._lanes.drop_empty()
        return True

    def is_hopeless(self, task: Task) -> bool:
        """Whether what is left of the block can never hold a task."""
        if not self._ledger.away:
            return False
        lane, spec, _ = self._lanes.of(task.spec)
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
        self._index(lane)
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
        self._lanes.set_window(service, window)

    # --- who is served -------------------------------------------------------------------------------------------

    def in_order(self, ready: Collection[str], first: Iterable[LaneShape] = (), ahead: float = 0.0) -> Iterator[Lane]:
        """Yield lanes of runtimes that are ready, the first claim first, each to be served until it finds no room.

        Where one finds none the others of its shape would not either, and are passed over. So are all that surely find
        none on the open nodes.

        Args:
            ready: Names of the runtimes.
            first: Shapes that may find room on other nodes.
            ahead: By how much the claims of those count as lower that need untouched nodes.
        """
        if self._requests:
            yield from in_turn([Everyone(self._requests)], ready)
        others: Ranking[LaneShape] = Ranking(by_order)
        for shape in first:
            others.add(shape)
        yield from in_turn([Everyone(others), *self._groups.fitting(ready, ahead)], ready)
        self._lanes.drop_empty()

    def within(
        self, pool: Pool, ready: Collection[str], first: Callable[[Lengths[Lane]], Found | None], ahead: float
    ) -> Iterator[tuple[Lane, Task]]:
        """Yield tasks that may find room on nodes of a pool beside the open ones, the first claim first.

        A task that still waits after its turn found no room, nor would the others of its shape.

        Args:
            pool: The nodes.
            ready: Names of the runtimes that can take tasks.
            first: Returns which of a shape's tasks is in question next; None for none.
            ahead: By how much the claims of those count as lower that need untouched nodes.
        """
        heads: list[Found] = []

        def join(shape: LaneShape) -> None:
            if found := first(self._lengths_of(shape)):
                claim, number, task, lane = found
                heapq.heappush(heads, (claim - ahead * shape.demand.whole, number, task, lane))

        for shape in self._groups.fitting_in(pool, ready):
            join(shape)
        while heads:
            _, _, task, lane = heapq.heappop(heads)
            before = len(lane)
            yield lane, task
            if len(lane) < before:
                join(lane.shape)

    def _lengths_of(self, shape: LaneShape) -> Lengths[Lane]:
        """Return the tasks of a shape by length, from now on kept up."""
        if shape.lengths is None:
            shape.lengths = Lengths()
            for lane in shape.lanes:
                self._index(lane)
        return shape.lengths

    def _index(self, lane: Lane) -> None:
        """Keep the tasks of a lane by walltime from now on, where somebody asks for short ones of its shape."""
        if lane.shape.lengths is not None and lane.by_walltime is None:
            timed = (
                (claim, number, self.spec_of(task).policy.walltime, task) for claim, number, _, task in lane.entries()
            )
            lane.by_walltime = ByWalltime(lane, lane.took, lane.shape.lengths, timed)

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

    def is_first(self, order: float) -> bool:
        """Whether nobody waits for nodes with an older claim."""
        front = self._claims.front()
        return front is None or front[0] >= order

    def waits_before(self, order: float, account: Account, back: Part, ready: Collection[str]) -> bool:
        """Whether somebody with an older claim would have room on a node, if so much more of it were free."""
        return self._groups.first_on(account, back, ready, order) is not None

    def first_on(
        self,
        account: Account,
        back: Part,
        ready: Collection[str],
        below: float = math.inf,
        *,
        passed: Collection[LaneShape] = (),
    ) -> Lane | None:
        """Return the lane with the first claim of those who would have room on a node, if so much more were free.

        Args:
            account: The node.
            back: What would be free, too.
            ready: Names of the runtimes that can take tasks.
            below: Later claims are of no interest.
            passed: Shapes that found none there.
        """
        found = self._groups.first_on(account, back, ready, below, passed=passed)
        return found[1].lanes.first() if found else None

    @property
    def gangs_wait(self) -> bool:
        """Whether somebody may wait who needs several nodes."""
        return self._groups.gangs > 0

    def launches_before(self, lane: Lane) -> bool:
        """Whether somebody who launches has an older claim than a lane, and waits because there are enough launches."""
        front, order = self._launching.front() if self.launches.is_full else None, lane.order
        return front is not None and order is not None and front[0] < order

    @property
    def launches(self) -> Launches:
        """The launches of the block."""
        return self._lanes.launches

    def limit(self, launches: Launches) -> None:
        """Have launches go through the gates of these."""
        self._lanes.launches = launches

    # --- lanes ---------------------------------------------------------------------------------------------------

    def known_lane(self, encoded: bytes) -> Lane | None:
        """Return the lane of a spec that came before; None when it did not, or was forgotten."""
        known = self._lanes.known(encoded)
        return known[0] if known else None

    def lane_of(self, encoded: bytes) -> Lane:
        """Return the lane of an encoded spec, made if need be.

        Raises:
            PayloadError: It is no spec.
            UnroutableTask: No runtime takes it, or the whole block could not hold it.
        """
        return self._lanes.of(encoded)[0]
