"""The tasks of a block and what happens to them: events in, instructions out, no I/O.

The shell (`loop`) calls a method for each event and then performs `take()`. Times are the caller's, of any one clock.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import islice

from rhapsody_parsl.errors import BackendFailed, MemoryExceeded, NodeLost, RhapsodyError, WalltimeExceeded
from rhapsody_parsl.pilot.backlog import Backlog
from rhapsody_parsl.pilot.claims import Claims
from rhapsody_parsl.pilot.deadlines import Deadlines
from rhapsody_parsl.pilot.instructions import CancelTasks, DiscardResults, EndRun, Feed, Instruction, StartRuntime
from rhapsody_parsl.pilot.kept_runs import KeptRuns
from rhapsody_parsl.pilot.lane import ActiveRun, Lane
from rhapsody_parsl.pilot.ledger import Lease, Ledger
from rhapsody_parsl.pilot.lender import Lender
from rhapsody_parsl.pilot.outcomes import Outcomes
from rhapsody_parsl.pilot.ranking import Ranking
from rhapsody_parsl.pilot.router import Refuses
from rhapsody_parsl.pilot.starts import Starts
from rhapsody_parsl.runtimes.protocol import Placed, Run
from rhapsody_parsl.spec.task_spec import TaskSpec
from rhapsody_parsl.wire.messages import LeaseRecord, Result, Task

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
        counts: Tasks done and failed.
        ended_by_runtime: Tasks of which a runtime told the result, by its name; 0 for one that told of none.
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
        self._starting: set[str] = set()
        self._ready: set[str] = set()
        self._backlog = Backlog(ledger, runtimes, default_runtime, windows, ageing)
        self._claims = Claims(ledger, self._backlog, self._ready)
        self._lender = Lender(ledger, clock)
        self._runs: dict[int, ActiveRun] = {}
        self._run_count = 0
        self._kept = KeptRuns()
        self._home: dict[int, Lane | ActiveRun] = {}
        self._recalls: Ranking[ActiveRun] = Ranking(lambda active: active.recall_at)
        self._deadlines = Deadlines()
        self._outcomes = Outcomes()
        self._starts = Starts()
        self.counts: Mapping[str, int] = self._outcomes.counts
        self.ended_by_runtime: Mapping[str, int] = self._outcomes.by_runtime
        self._out: list[Instruction] = []

    # --- what the shell takes -----------------------------------------------------------------------------------

    def take(self) -> list[Instruction]:
        """Return the instructions since the last call, in order."""
        out, self._out = self._out, []
        return out

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

    def submit(self, tasks: Iterable[Task], now: float) -> None:
        """Tasks arrived; one that is here already is no second one."""
        for task in (task for task in tasks if task.id not in self._home):
            try:
                lane = self._home[task.id] = self._backlog.put(task, now)
                self.want(lane.runtime)
            except RhapsodyError as error:
                self._outcomes.failed(task.id, error)
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
                self._outcomes.forget(task)
        self.schedule(now)

    def withdraw(self) -> list[int]:
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
        if active.lane.timed:
            self._time(active, (), now)
        active.fed_at, active.recalled = now, False
        if len(active.inflight) > 1:
            self._recalls.add(active)
        self._starts.succeeded(active.lane.runtime)
        self._continue(active, now)

    def given_back(self, run: int, tasks: Sequence[int], now: float) -> None:
        """Tasks of a run had not begun."""
        active = self._runs.get(run)
        if active is None:
            return
        returned = [task for number in tasks if (task := active.pop(number))]
        active.total -= len(returned)  # the record counts them where they run
        wanted = []
        for task in returned:
            del self._home[task.id]
            if active.ended_by.pop(task.id, "") == "cancelled":
                self._outcomes.forget(task.id)
            else:
                wanted.append(task)
        self._requeue(active.lane, wanted, now)
        if active.lane.timed:
            self._time(active, (), now)
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
        if self._backlog.is_hopeless(active.lane):
            for task in again:
                self._outcomes.failed(task.id, error)
        else:
            self._requeue(active.lane, again, now)
        self._close(active)
        if isinstance(error, BackendFailed):
            self._start_failed(active, error, now, slowly=bool(tasks) and not untouched)
        self.schedule(now)

    def _start_failed(self, failed: ActiveRun, error: BackendFailed, now: float, slowly: bool) -> None:
        """Wait before the next start of a runtime's processes; with no hope left, what waits for one fails."""
        name = failed.lane.runtime
        self._starts.failed(name, failed.fed_at, now, slowly)
        others = (active.fed_at for active in self._runs.values() if active.lane.runtime == name and active.inflight)
        if self._starts.is_hopeless(name, others):
            self._starts.give_up(name)
            self._fail_waiting(lambda lane: lane.runtime == name, error)

    def memory_exceeded(self, run: int, error: MemoryExceeded) -> None:
        """The processes of a run hold more than it leases: they are killed, and will be reported `lost`."""
        active = self._runs.get(run)
        if active is not None:
            active.lost_with = error
            self._kill(active, list(active.inflight))

    def node_lost(self, name: str, reason: str, now: float) -> None:
        """A node is lost: it is set aside, and what runs there will be reported `lost`; what needs it fails."""
        error = NodeLost(name, reason)
        self._end_kept()
        self.ledger.set_away(name, away=True)
        for active in self._runs.values():
            if any(placed.node.name == name for placed in active.run.placed):
                active.lost_with = error
                self._kill(active, list(active.inflight))
        self._fail_waiting(self._backlog.is_hopeless, error)
        self.schedule(now)

    def node_back(self, name: str, now: float) -> None:
        """A node that was lost can be used again."""
        self.ledger.set_away(name, away=False)
        self.schedule(now)

    def want(self, name: str) -> None:
        """A runtime is to be started, if it is not."""
        if name not in self._ready and name not in self._starting:
            self._starting.add(name)
            self._out.append(StartRuntime(name))

    def runtime_ready(self, name: str, now: float) -> None:
        """A runtime can take tasks."""
        self._starting.discard(name)
        self._ready.add(name)
        self.schedule(now)

    def runtime_failed(self, name: str, error: RhapsodyError, now: float) -> None:
        """A runtime did not start: what waits for it fails; the next task tries again."""
        self._starting.discard(name)
        self._ready.discard(name)
        self._fail_waiting(lambda lane: lane.runtime == name, error)
        self.schedule(now)

    def tick(self, now: float) -> None:
        """Time passed: end what outlived its walltime, take back what waits behind a long task."""
        for active, task in self._deadlines.passed(now):
            walltime = self._backlog.walltime_of(active.inflight[task])
            active.ended_by.setdefault(task, WalltimeExceeded(walltime))
            self._kill(active, [task])
        while (waiting := self._recalls.first()) and (behind := waiting.recall(now)):
            self._out.append(CancelTasks(waiting.lane.runtime, waiting.run, behind, kill=False))
        for kept in self._kept.expired(now):
            self._close(kept)
        self.schedule(now)

    def next_tick(self, now: float) -> float | None:
        """Return in how many seconds `tick` has something to do, or None."""
        due = self._deadlines.next(now) + self._kept.next_expiry(now) + self._backlog.next_late(now)
        due += self._starts.next_due(now)
        if (active := self._recalls.first()) and (at := active.recall_at) is not None:
            due.append(at - now)
        return max(0.0, min(due)) if due else None

    def borrow(self, borrower: str, wants: TaskSpec, key: str = "") -> tuple[Placed, ...] | None:
        """A service wants a lease for the block's life; see `Lender.lend_for_good`."""
        self._end_kept()
        return self._lender.lend_for_good(borrower, wants, key)

    # --- decisions ----------------------------------------------------------------------------------------------

    def schedule(self, now: float) -> None:
        """Start whatever can start, in order; keep nodes free for gangs that have waited long enough."""
        self._claims.clear()
        if self._kept and not self._backlog.is_empty():
            self._use_kept(now)
        for lane in self._backlog.in_order(now, self._startable(now)):
            self._serve(lane, now)
            if len(lane) and not lane.window and not self._claims.add(lane.shape, now):
                break
        self._put_behind(now)

    def _startable(self, now: float) -> Collection[str]:
        """Return the runtimes whose processes may be started now."""
        return [name for name in self._ready if self._starts.may(name, now)]

    def _use_kept(self, now: float) -> None:
        """Go on with runs that were kept, if what waits is all of their lane; else nobody keeps anything."""
        lane = self._backlog.sole()
        self._end_kept(but_of=lane)
        while lane and len(lane) and (kept := self._kept.take_newest()):
            self._feed(kept, lane.portion(self.ledger.cores), now)

    def _serve(self, lane: Lane, now: float) -> None:
        """Open runs while the block has room."""
        if lane.window:
            only = next(iter(lane.runs.values()), None) or self._open(lane, None, (), now)
            self._feed(only, only.room(self.ledger.cores), now)
            return
        while len(lane) and (lent := self._lender.lend(lane.spec, self._claims.held)):
            self._feed(self._open(lane, *lent, now), lane.portion(self.ledger.cores), now)
        if len(lane) and lane.runs:
            self._backlog.behind[lane] = None

    def _put_behind(self, now: float) -> None:
        """Put short tasks behind those that run."""
        for lane in self._backlog.lanes_behind():
            if lane.depth > 1 and lane.runtime in self._ready and not lane.window:
                for active in lane.runs.values():
                    if len(lane) and (room := active.room(self.ledger.cores)) and self._claims.allow(active):
                        self._feed(active, room, now)

    def _open(self, lane: Lane, lease: Lease | None, placed: tuple[Placed, ...], now: float) -> ActiveRun:
        self._run_count += 1
        active = ActiveRun(Run(self._run_count, lane.spec, placed), lane, lease, now)
        self._runs[active.run.id] = lane.runs[active.run.id] = active
        return active

    def _feed(self, active: ActiveRun, count: int, now: float) -> None:
        tasks = active.lane.take(count)
        if not tasks:
            return
        if not active.total or active.lane.mixed:
            self._lender.begin(active, self._backlog.name_of(tasks[0], active.lane))
        for task in tasks:
            self._home[task.id] = active
        active.put(tasks)
        active.fed_at = now
        if active.lane.timed:
            self._time(active, tasks, now)
        if len(active.inflight) > 1:
            self._recalls.add(active)
        self._out.append(Feed(active.lane.runtime, active.run, tasks))

    def _time(self, active: ActiveRun, given: Sequence[Task], now: float) -> None:
        """Measure walltimes: of requests from now, of other tasks from the end of the one before them in their run."""
        if not active.lane.window:
            given = list(islice(active.inflight.values(), 1))
            if not given or given[0].id == active.timed:
                return
            active.timed = given[0].id
        for task in given:
            if walltime := self._backlog.walltime_of(task):
                self._deadlines.add(now + walltime, active, task.id)

    def _continue(self, active: ActiveRun, now: float) -> None:
        """Feed a run again, or end it; its lease stays with the lane while nobody before it waits for that."""
        lane = active.lane
        if lane.window:
            self.schedule(now)  # room in its window is for all who ask the service
            if not active.inflight:
                self._close(active)
        elif len(lane) and lane.runtime in self._ready and not active.ended_by and self._claims.allow(active):
            self._feed(active, active.room(self.ledger.cores), now)
        elif active.inflight:
            return
        elif lane.depth > 1 and not active.ended_by and not active.lost_with and self._backlog.is_empty():
            self._keep(active, now)
        else:
            self._close(active)
            self.schedule(now)

    def _keep(self, active: ActiveRun, now: float) -> None:
        """Leave a run its lease for a while; for the record it ends now."""
        self._end_kept(but_of=active.lane)
        self._kept.add(active, now)
        self._lender.pause(active)

    def _end_kept(self, but_of: Lane | None = None) -> None:
        """What is kept is wanted, or of another lane than this."""
        for kept in self._kept.but_of(but_of):
            self._close(kept)

    def _close(self, active: ActiveRun) -> None:
        del self._runs[active.run.id]
        del active.lane.runs[active.run.id]
        if not active.total:
            self._kept.discard(active)
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

    def _fail_waiting(self, of: Callable[[Lane], bool], error: RhapsodyError) -> None:
        """What waits in some lanes fails."""
        for task in self._backlog.take(of):
            del self._home[task.id]
            self._outcomes.failed(task.id, error)
