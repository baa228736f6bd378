"""The queue of equal tasks: they wait in one line, so that a decision costs per line, not per task."""

import math
from collections.abc import Iterable
from typing import Literal

from rhapsody_parsl.annotations.task_spec import TaskSpec
from rhapsody_parsl.errors import RhapsodyError, WalltimeExceeded
from rhapsody_parsl.pilot.in_flight import InFlight
from rhapsody_parsl.pilot.ledger import Lease
from rhapsody_parsl.pilot.shape import Shape
from rhapsody_parsl.pilot.task_queue import TaskQueue
from rhapsody_parsl.pilot.took import Took
from rhapsody_parsl.runtimes.protocol import Run
from rhapsody_parsl.runtimes.workers.prefetch import Prefetch
from rhapsody_parsl.wire.leases import LeaseRecord
from rhapsody_parsl.wire.messages import Task
from rhapsody_parsl.wire.states import TaskState

__all__ = ("ActiveRun", "EndedBy", "Lane")

EndedBy = Literal["cancelled"] | WalltimeExceeded
"""Why one task of a run is being stopped, while the run as such is well."""

_RECALL_AFTER = 0.05


class Lane(TaskQueue):
    """Tasks whose specs differ in what decides nothing but their order, in the order of their claims.

    Attributes:
        spec: What their specs have in common.
        runtime: Name of the runtime that takes them.
        shape: What else decides where they can start.
        window: For runs that take no lease: how many tasks the runtime wants at once; 0 for all others.
        kin: The same object for lanes of which a run may go on with tasks of another; None for none.
        launches: Whether each of its runs counts as a launch.
        beside: How many of its tasks a run runs side by side; 0 for one after the other, and for runs with a window.
        timed: Whether some may have a walltime.
        mixed: Whether they are of many apps.
        scattered: Whether they ask to be near many things.
        varied: Whether they ask for more and less memory.
        most: The most memory that one asks for, in GB.
        durations: Of its tasks, and what follows from them.
        took: The same for backfill, where that is wanted.
        runs: The runs under way.
        rest: Turns in which nobody looks whether its runs have room for what waits: the last looks were for little.
    """

    __slots__ = (
        "beside", "durations", "kin", "launches", "mixed", "most", "rest", "runs", "runtime", "scattered", "shape",
        "spec", "timed", "took", "varied", "window",
    )  # fmt: skip

    def __init__(self, spec: TaskSpec, runtime: str, shape: Shape["Lane"], kin: TaskSpec | None = None) -> None:
        super().__init__()
        self.kin = kin
        self.spec, self.runtime, self.shape, self.window = spec, runtime, shape, shape.window
        self.launches = shape.gate != runtime
        self.beside = spec.policy.concurrency if spec.policy.concurrency > 1 else 0
        self.timed = self.mixed = self.scattered = self.varied = False
        self.most = spec.resources.memory
        self.durations = Prefetch(least=2)
        self.took = Took()
        self.runs: dict[int, ActiveRun] = {}
        self.rest = 0

    def put_back(self, tasks: Iterable[tuple[Task, float]], arrival: float) -> None:
        """Join the queue again, each in front of those with its claim, in the order given."""
        for task, claim in reversed(list(tasks)):
            self.join_in_front(task, claim, arrival)

    def expects(self, walltime: float) -> float | None:
        """Return how long a task with a walltime will take in the mean; None while none has ended."""
        return self.took.expected(walltime, late=False) if self.took.known else self.durations.seconds

    @property
    def differs(self) -> bool:
        """Whether a run has to be fitted to each of its tasks."""
        return (self.varied or self.scattered) and not self.window

    @property
    def prefetch(self) -> int:
        """How many tasks a run is to hold: enough short ones to hide the way to the worker, one long one."""
        return self.window or self.beside or self.durations.count

    def portion(self, cores: int) -> int:
        """How many tasks to give at once: a fair part of the queue for each run that a block of `cores` can hold."""
        most = self.prefetch
        if most == 1 or self.beside:
            return most
        resources = self.spec.resources
        each = max(1, resources.cores) * max(1, resources.num_ranks)
        return max(1, min(most, math.ceil(len(self) / (2 * max(1, cores // each)))))


class ActiveRun(InFlight):
    """A run under way, the tasks in flight, and what it holds.

    Attributes:
        run: The run as the runtime knows it.
        lane: Whose tasks.
        fed_at: When it was last given something or last ended something.
        timed: The task of which the walltime is measured; negative for none.
        walltime: That walltime, in seconds; 0 for none.
        recalled: Whether what waits behind a long task has been asked back.
        ample: Whether it may hold more memory than its only task asks for.
        began: Wall-clock time at which it put its lease to use, for the record.
        name: Of the app whose task was the first since.
        parent: Number of the task that submitted its tasks, 0 for the driver.
        total: Tasks given since.
        lent: How many cores it has lent on, while its task waits; from then on it has none of its own.
        ended_by: Why tasks of it are being stopped, by their number, see `to_end`.
        lost_with: Why all of it is being ended.
    """

    __slots__ = (
        "ample",
        "began",
        "ended_by",
        "fed_at",
        "lane",
        "lease",
        "lent",
        "lost_with",
        "name",
        "parent",
        "recalled",
        "run",
        "timed",
        "total",
        "walltime",
    )

    def __init__(self, run: Run, lane: Lane, lease: Lease | None, now: float) -> None:
        super().__init__()
        self.run, self.lane, self.lease = run, lane, lease
        self.began = self.fed_at = now
        self.recalled = self.ample = False
        self.lost_with: RhapsodyError | None = None
        self.ended_by: dict[int, EndedBy] | None = None  # of most runs: a block has a hundred thousand
        self.timed, self.walltime = -1, 0.0
        self.total = self.parent = self.lent = 0
        self.name = lane.spec.name

    def room(self, cores: int) -> int:
        """How many more tasks to give it now, in a block of `cores`: none while it has half of what it is to hold.

        One that had to give back stands on a long task, and waits for its end.
        """
        lane, has = self.lane, self.has
        if lane.window:
            return lane.shape.free_window
        most = lane.prefetch
        if self.recalled or self.lost_with or self.lent or has > (most - 1 if lane.beside else most // 2):
            return 0
        return 1 if most == 1 else min(most - has, lane.portion(cores))

    @property
    def may_go_on(self) -> bool:
        """Whether it may have further tasks when those that it has are over."""
        return not (self.ended_by or self.lent)

    def to_end(self, task: int, why: EndedBy) -> None:
        """One of its tasks is being stopped; that it is cancelled counts more than its walltime."""
        if why == "cancelled" or self.why(task) is None:
            self.ended_by = self.ended_by or {}
            self.ended_by[task] = why

    def why(self, task: int) -> EndedBy | None:
        """Return why one of its tasks is being stopped; None for one that is not."""
        return self.ended_by.get(task) if self.ended_by else None

    def take_why(self, task: int) -> EndedBy | None:
        """Return the same, and forget it."""
        return self.ended_by.pop(task, None) if self.ended_by else None

    def put(self, tasks: list[Task]) -> None:
        """It was given tasks."""
        self.add(tasks)
        self.total += len(tasks)
        if self.lane.window:
            self.lane.shape.given += len(tasks)

    def pop(self, task: int) -> Task | None:
        """Take out a task that ended or came back; None when it is not here."""
        taken = self.take(task)
        if self.lane.window and taken is not None:
            self.lane.shape.given -= 1
        return taken

    def pop_all(self) -> list[Task]:
        """Take out all tasks."""
        return [task for number in self.numbers() if (task := self.pop(number))]

    def state_of(self, task: int) -> TaskState:
        """Return the state of one of its tasks; a worker runs them in the order given, a service all at once."""
        if self.lost_with or self.why(task):
            return "stopping"
        if self.lane.window or self.lane.beside or (first := self.first) is None or task == first.id:
            return "running"
        return "recalled" if self.recalled else "prefetched"

    @property
    def recallable(self) -> bool:
        """Whether something may wait behind a long task."""
        return self.has > 1 and not (self.recalled or self.lane.window or self.lane.beside)

    @property
    def recall_at(self) -> float | None:
        """When that is to be asked back, or the lease of a lone task to be made its own; None for neither."""
        due = self.recallable or (self.ample and self.has == 1)
        return self.fed_at + _RECALL_AFTER if due else None

    def is_long(self, now: float) -> bool:
        """Whether it has been on one task for so long that something is to be done about it."""
        due = self.recall_at
        return due is not None and now >= due - 1e-6

    def recall(self, now: float) -> list[int]:
        """Return what is to be asked back, once: the worker stays on one task, and others could have the rest."""
        if not self.recallable:
            return []
        self.recalled = True
        self.lane.durations.learn(now - self.fed_at)
        return self.numbers()[1:]

    def record(self, ended: float) -> LeaseRecord:
        """Return the line of the ledger's history; for a run with a lease."""
        id_, shares = (self.lease.id, self.lease.shares) if self.lease else (0, ())
        name = f"{self.name} and others" if self.lane.mixed and self.total > 1 else self.name
        return LeaseRecord(id_, self.lane.runtime, name, shares, self.began, ended, self.total, self.parent)
