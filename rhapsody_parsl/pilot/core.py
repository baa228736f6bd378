"""The tasks of a block and what happens to them: events in, instructions out, no I/O.

The shell (`loop`) calls a method for each event and then performs `take()`. Times are the caller's, of any one clock.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from rhapsody_parsl.annotations.task_spec import TaskSpec
from rhapsody_parsl.errors import BackendFailed, MemoryExceeded, NodeLost, RhapsodyError, WalltimeExceeded
from rhapsody_parsl.pilot.alarms import Alarms
from rhapsody_parsl.pilot.backlog import Backlog
from rhapsody_parsl.pilot.fitting import Fitting
from rhapsody_parsl.pilot.idle_leases import IdleLeases
from rhapsody_parsl.pilot.instructions import (
    CancelTasks,
    DiscardResults,
    EndRun,
    Feed,
    Fit,
    Instruction,
    StartRuntime,
)
from rhapsody_parsl.pilot.lane import ActiveRun, Lane
from rhapsody_parsl.pilot.ledger import Lease, Ledger
from rhapsody_parsl.pilot.lender import Lender
from rhapsody_parsl.pilot.outcomes import Outcomes
from rhapsody_parsl.pilot.reservations import Reservations
from rhapsody_parsl.pilot.router import Refuses
from rhapsody_parsl.pilot.starts import Starts
from rhapsody_parsl.runtimes.protocol import Placed, Run
from rhapsody_parsl.wire.messages import LeaseRecord, Result, Task
from rhapsody_parsl.wire.states import TaskState

__all__ = ("Core",)


class Core:
    """State machine over all tasks of a block.

    Args:
        ledger: The block's, nothing lent yet.
        runtimes: What the router asks, by name.
        default_runtime: For tasks that name none.
        windows: For runtimes whose tasks take no lease: how many they want at once.
        ageing: Seconds of waiting that weigh as much as one step of priority.
        clock: Seconds since the epoch, for the record of leases.

    Attributes:
        tally: Counts the tasks that have ended here.
    """

    def __init__(
        self,
        ledger: Ledger,
        runtimes: Mapping[str, Refuses],
        default_runtime: str,
        windows: Mapping[str, int],
        ageing: float = 60.0,
        clock: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.ledger = ledger
        self._runtimes = runtimes
        self._starts = Starts()
        self._backlog = Backlog(ledger, runtimes, default_runtime, windows, ageing)
        self._reservations = Reservations(ledger, self._backlog, self._starts.ready)
        self._lender = Lender(ledger, clock)
        self._runs: dict[int, ActiveRun] = {}
        self._run_count = 0
        self._idle_leases = IdleLeases()
        self._home: dict[int, Lane | ActiveRun] = {}
        self._alarms = Alarms(lambda task: self._backlog.spec_of(task).policy.walltime)
        self._fitting = Fitting(self._backlog, self._lender, self._reservations)
        self._outcomes = Outcomes()
        self.tally = self._outcomes.tally
        self._out: list[Instruction] = []

    # --- what the shell takes -----------------------------------------------------------------------------------

    def take(self) -> list[Instruction]:
        """Return the instructions since the last call, in order."""
        out, self._out = self._out, []
        return out

    @property
    def has_results(self) -> bool:
        """Whether there are some to take."""
        return self._outcomes.has_results or self._lender.has_closed

    def take_results(self) -> tuple[list[Result], list[LeaseRecord]]:
        """Return results and closed leases since the last call."""
        return self._outcomes.take(), self._lender.take_closed()

    @property
    def queued(self) -> int:
        """Tasks that wait."""
        return len(self._backlog)

    @property
    def idle(self) -> bool:
        """Whether there is no task."""
        return not self._home

    @property
    def running(self) -> int:
        """Tasks that are with a runtime."""
        return len(self._home) - self.queued

    def state_of(self, task: int) -> TaskState:
        """Return where a task is; `unknown` when it is not here, or here no more."""
        home = self._home.get(task)
        if home is None:
            return "unknown"
        return home.state_of(task) if isinstance(home, ActiveRun) else "waiting"

    def running_by_runtime(self) -> dict[str, int]:
        """Return the number of tasks with each runtime."""
        counts = dict.fromkeys(self._runtimes, 0)
        for active in self._runs.values():
            counts[active.lane.runtime] += len(active.inflight)
        return counts

    def begun(self) -> list[int]:
        """Return the unfinished tasks that are or were with a runtime."""
        return [task for active in self._runs.values() for task in active.inflight]

    def open_leases(self) -> list[LeaseRecord]:
        """Return the record of the leases that services and tasks hold now."""
        return self._lender.services + [a.record(0.0) for a in self._runs.values() if a.lease and a.inflight]

    # --- events -------------------------------------------------------------------------------------------------

    def submit(self, tasks: Sequence[Task], now: float) -> None:
        """Tasks arrived; one that is here already is no second one."""
        if len(tasks) == 1 and self._start_alone(tasks[0], now):
            return
        for task in (task for task in tasks if task.id not in self._home):
            try:
                lane = self._home[task.id] = self._backlog.put(task, now)
                self.want(lane.runtime)
            except RhapsodyError as error:
                self._outcomes.failed(task.id, error, None)
        self.schedule(now)

    def cancel(self, tasks: Iterable[int], now: float) -> None:
        """The driver wants these no more; they are not reported."""
        for task in tasks:
            home = self._home.get(task)
            if isinstance(home, ActiveRun):
                home.ended_by[task] = "cancelled"
                self._kill(home, [task])
            elif home is not None:
                home.remove(task)
                del self._home[task]
                self._outcomes.cancelled(task, home)
        self.schedule(now)

    def return_waiting(self) -> list[int]:
        """The driver takes back what waits; return it."""
        tasks = [task.id for task in self._backlog.take()]
        for task in tasks:
            del self._home[task]
            self._outcomes.forget(task)
        return tasks

    def done(self, run: int, results: Sequence[Result], now: float) -> None:
        """Tasks of a run ended."""
        active = self._runs.get(run)
        if active is None:
            return
        for result in results:
            if active.pop(result.id) is None:
                continue
            del self._home[result.id]
            active.lane.learn(result.seconds)
            if not self._outcomes.ended(active, result):
                self._out.append(DiscardResults([result.id]))
        active.fed_at, active.recalled = now, False
        self._alarms.set(active, (), now)
        self._starts.succeeded(active.lane.runtime)
        self._continue(active, now)

    def returned(self, run: int, tasks: Sequence[int], now: float) -> None:
        """Tasks of a run had not begun."""
        active = self._runs.get(run)
        if active is None:
            return
        returned = [task for number in tasks if (task := active.pop(number))]
        active.total -= len(returned)  # the record counts them where they run
        wanted = []
        for task in returned:
            del self._home[task.id]
            if active.ended_by.pop(task.id, None) == "cancelled":
                self._outcomes.cancelled(task.id, active.lane)
            else:
                wanted.append(task)
        self._requeue(active.lane, wanted, now)
        self._alarms.set(active, (), now)
        self._continue(active, now)
        self.schedule(now)

    def lost(self, run: int, error: RhapsodyError, untouched: Sequence[int], now: float) -> None:
        """A run is over before its tasks."""
        active = self._runs.get(run)
        if active is None:
            return
        error = active.lost_with or error
        self._out.append(DiscardResults(list(active.inflight)))
        tasks = active.pop_all()
        for task in tasks:
            del self._home[task.id]
        again = [task for task in tasks if self._outcomes.survives(active, task.id, error, untouched)]
        for task in (hopeless := [task for task in again if self._backlog.is_hopeless(task)]):
            self._outcomes.failed(task.id, error, active.lane)
        self._requeue(active.lane, [task for task in again if task not in hopeless], now)
        self._close(active)
        if isinstance(error, BackendFailed):
            self._start_failed(active, error, now, slowly=bool(tasks) and not untouched)
        self.schedule(now)

    def _start_failed(self, failed: ActiveRun, error: BackendFailed, now: float, slowly: bool) -> None:
        """Wait before the next start of a runtime's processes; with no hope left, what waits for one fails."""
        name = failed.lane.runtime
        self._starts.failed(name, failed.fed_at, now, slowly)
        others = (active.fed_at for active in self._runs.values() if active.lane.runtime == name and active.inflight)
        if self._starts.gives_up(name, others):
            self._fail(self._backlog.take(lambda lane: lane.runtime == name), error)

    def memory_exceeded(self, run: int, error: MemoryExceeded) -> None:
        """The processes of a run hold more than it leases: they are killed, and will be reported `lost`."""
        active = self._runs.get(run)
        if active is not None:
            active.lost_with = self._fitting.judge(active, error)
            self._kill(active, list(active.inflight))

    def node_lost(self, name: str, reason: str, now: float) -> None:
        """A node is lost: it is set aside, and what runs there will be reported `lost`; what needs it fails."""
        error = NodeLost(name, reason)
        self._end_idle_leases()
        self.ledger.set_away(name, away=True)
        for active in self._runs.values():
            if any(placed.node.name == name for placed in active.run.placed):
                active.lost_with = error
                self._kill(active, list(active.inflight))
        self._fail(self._backlog.take_hopeless(), error)
        self.schedule(now)

    def node_back(self, name: str, now: float) -> None:
        """A node that was lost can be used again."""
        self.ledger.set_away(name, away=False)
        self.schedule(now)

    def want(self, name: str) -> None:
        """A runtime is to be started, if it is not."""
        if self._starts.want(name):
            self._out.append(StartRuntime(name))

    def runtime_ready(self, name: str, now: float) -> None:
        """A runtime can take tasks."""
        self._starts.ended(name, ready=True)
        self.schedule(now)

    def runtime_failed(self, name: str, error: RhapsodyError, now: float) -> None:
        """A runtime did not start: what waits for it fails; the next task tries again."""
        self._starts.ended(name, ready=False)
        self._fail(self._backlog.take(lambda lane: lane.runtime == name), error)
        self.schedule(now)

    def tick(self, now: float) -> None:
        """Time passed: end what outlived its walltime, take back what waits behind a long task."""
        for active, task in self._alarms.passed(now):
            walltime = self._backlog.spec_of(active.inflight[task]).policy.walltime
            active.ended_by.setdefault(task, WalltimeExceeded(walltime))
            self._kill(active, [task])
        for active in self._alarms.long(now):
            if behind := active.recall(now):
                self._out.append(CancelTasks(active.lane.runtime, active.run, behind, kill=False))
            elif self._fitting.alone(active):
                self._out.append(Fit(active.run))
        for kept in self._idle_leases.expired(now):
            self._close(kept)
        self.schedule(now)

    def next_tick(self, now: float) -> float | None:
        """Return in how many seconds `tick` has something to do, or None."""
        due = self._alarms.next(now) + self._idle_leases.next_expiry(now) + self._backlog.next_late(now)
        due += self._starts.next_due(now)
        return max(0.0, min(due)) if due else None

    def borrow(self, borrower: str, wants: TaskSpec, key: str = "") -> tuple[Placed, ...] | None:
        """A service wants a lease for the block's life; see `Lender.lend_for_good`."""
        self._end_idle_leases()
        return self._lender.lend_for_good(borrower, wants, key)

    # --- decisions ----------------------------------------------------------------------------------------------

    def schedule(self, now: float) -> None:
        """Start whatever can start, in order; keep nodes free for gangs that have waited long enough."""
        self._reservations.clear()
        if self._backlog.is_empty():
            return
        if self._idle_leases:
            self._use_idle_leases(now)
        for lane in self._backlog.in_order(now, self._starts.startable(now)):
            self._serve(lane, now)
            if len(lane) and not lane.window and not self._reservations.add(lane.shape, now):
                break
        self._put_behind(now)

    def _use_idle_leases(self, now: float) -> None:
        """Go on with runs that were kept, if what waits is all of their lane; else nobody keeps anything."""
        lane = self._backlog.sole()
        self._end_idle_leases(but_of=lane)
        while lane and len(lane) and (kept := self._idle_leases.take_newest()):
            if not self._feed(kept, lane.portion(self.ledger.cores), now):
                self._close(kept)

    def _start_alone(self, task: Task, now: float) -> bool:
        """Start a task that comes alone while nobody waits, if there is room: to queue it would cost 20 µs."""
        lane = self._backlog.known_lane(task.spec)
        if lane is None or lane.differs or task.id in self._home or not self._backlog.is_empty():
            return False
        if self._backlog.is_hopeless(task):
            return False
        self._end_idle_leases(but_of=lane)
        self._reservations.clear()
        active = self._idle_leases.take_newest()
        if active is None and lane.runtime in self._starts.ready and self._starts.may(lane.runtime, now):
            active = self._with_room(lane, now)
        if active is None:
            return False
        self._give(active, [task], now)
        return True

    def _serve(self, lane: Lane, now: float) -> None:
        """Open runs while the block has room."""
        while len(lane) and (active := self._with_room(lane, now)):
            self._feed(active, active.room(self.ledger.cores), now)
        if len(lane) and lane.runs:
            self._backlog.behind[lane] = None

    def _with_room(self, lane: Lane, now: float) -> ActiveRun | None:
        """Return a run of a lane with room for a task, a new one where it takes a lease; None when there is none."""
        if not lane.window:
            lent = self._lender.lend(self._backlog.wants(lane), self._reservations.held)
            return self._open(lane, *lent, now) if lent else None
        if lane.shape.room <= 0:
            return None
        return next(iter(lane.runs.values()), None) or self._open(lane, None, (), now)

    def _put_behind(self, now: float) -> None:
        """Put short tasks behind those that run."""
        for lane in self._backlog.lanes_behind():
            if lane.depth > 1 and lane.runtime in self._starts.ready and not lane.window:
                for active in lane.runs.values():
                    if len(lane) and (room := active.room(self.ledger.cores)) and self._reservations.allow(active):
                        self._feed(active, room, now)

    def _open(self, lane: Lane, lease: Lease | None, placed: tuple[Placed, ...], now: float) -> ActiveRun:
        self._run_count += 1
        active = ActiveRun(Run(self._run_count, lane.spec, placed), lane, lease, now)
        self._runs[active.run.id] = lane.runs[active.run.id] = active
        return active

    def _feed(self, active: ActiveRun, count: int, now: float) -> bool:
        """Give a run tasks of its lane, so many at most; return whether it was given any."""
        lane, placed = active.lane, active.run.placed
        tasks = self._fitting.take(active, count) if lane.differs else lane.take(count)
        if not tasks:
            return False
        if active.run.placed is not placed:
            self._out.append(Fit(active.run))
        self._give(active, tasks, now)
        return True

    def _give(self, active: ActiveRun, tasks: list[Task], now: float) -> None:
        if not active.total or active.lane.mixed:
            self._lender.begin(active, self._backlog.name_of(tasks[0], active.lane))
        for task in tasks:
            self._home[task.id] = active
        active.put(tasks)
        active.fed_at = now
        self._alarms.set(active, tasks, now)
        self._out.append(Feed(active.lane.runtime, active.run, tasks))

    def _continue(self, active: ActiveRun, now: float) -> None:
        """Feed a run again, or end it; its lease stays with the lane while nobody before it waits for that."""
        lane = active.lane
        if lane.window:
            self.schedule(now)  # room in its window is for all who ask the service
            if not active.inflight:
                self._close(active)
        elif self._goes_on(active, now) or active.inflight:
            return
        elif lane.depth > 1 and not active.ended_by and not active.lost_with and self._backlog.is_empty():
            self._keep(active, now)
        else:
            self._close(active)
            self.schedule(now)

    def _goes_on(self, active: ActiveRun, now: float) -> bool:
        """Feed a run again if nobody has a better claim; return whether it goes on, or is being ended."""
        lane = active.lane
        if (
            not len(lane)
            or lane.runtime not in self._starts.ready
            or active.ended_by
            or not self._reservations.allow(active)
        ):
            return False
        return self._feed(active, active.room(self.ledger.cores), now) or bool(active.lost_with)

    def _keep(self, active: ActiveRun, now: float) -> None:
        """Leave a run its lease for a while; for the record it ends now."""
        self._end_idle_leases(but_of=active.lane)
        self._idle_leases.add(active, now)
        self._lender.pause(active)

    def _end_idle_leases(self, but_of: Lane | None = None) -> None:
        """What is kept is wanted, or of another lane than this."""
        for kept in self._idle_leases.but_of(but_of):
            self._close(kept)

    def _close(self, active: ActiveRun) -> None:
        del self._runs[active.run.id]
        del active.lane.runs[active.run.id]
        if not active.total:
            self._idle_leases.discard(active)
        self._lender.release(active)
        self._out.append(EndRun(active.lane.runtime, active.run))

    def _kill(self, active: ActiveRun, tasks: list[int]) -> None:
        self._out.append(CancelTasks(active.lane.runtime, active.run, tasks, kill=True))

    def _requeue(self, lane: Lane, tasks: list[Task], now: float) -> None:
        self._backlog.put_back(lane, tasks, now)
        for task in tasks:
            self._home[task.id] = lane
        if tasks:
            self.want(lane.runtime)

    def _fail(self, waited: Iterable[Task], error: RhapsodyError) -> None:
        """Tasks that no longer wait fail."""
        for task in waited:
            home = self._home.pop(task.id)
            self._outcomes.failed(task.id, error, home if isinstance(home, Lane) else None)
