"""The tasks of a block and what happens to them: events in, instructions out, no I/O.

The shell calls a method for each event and then performs `take()`. Times are the caller's, of any one clock.
"""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence

from rhapsody_parsl.errors import (
    BackendFailed,
    MemoryExceeded,
    NodeLost,
    RhapsodyError,
    UnroutableTask,
    WalltimeExceeded,
)
from rhapsody_parsl.pilot.backlog import Backlog
from rhapsody_parsl.pilot.examination import Examination
from rhapsody_parsl.pilot.family import Family
from rhapsody_parsl.pilot.feeder import Feeder
from rhapsody_parsl.pilot.instructions import CancelTasks, DiscardResults, Fit, Instruction, StartRuntime
from rhapsody_parsl.pilot.lane import ActiveRun, Lane
from rhapsody_parsl.pilot.last_starts import LastStarts
from rhapsody_parsl.pilot.nesting import Limits, Nesting
from rhapsody_parsl.pilot.outcomes import Outcomes
from rhapsody_parsl.pilot.router import Refuses
from rhapsody_parsl.pilot.runs import Runs
from rhapsody_parsl.pilot.starts import Starts
from rhapsody_parsl.pilot.times import Times
from rhapsody_parsl.scheduling.fifo import Fifo
from rhapsody_parsl.scheduling.protocol import Scheduling
from rhapsody_parsl.wire.leases import LeaseRecord
from rhapsody_parsl.wire.messages import Result, Task
from rhapsody_parsl.wire.states import TaskState
from rhapsody_parsl.wire.times import TaskTimes

__all__ = ("Core",)

_PLENTY = Limits()


class Core:
    """State machine over all tasks of a block.

    Args:
        runs: The block's, none yet.
        runtimes: What the router asks, by name.
        default_runtime: For tasks that name none.
        windows: For runtimes whose tasks take no lease: how many they want at once.
        scheduling: Orders the tasks that wait; default first come, first served.
        ends: When the block ends, on the caller's clock; None where nobody says.
        record: Whether the times of tasks are kept.
        limits: How far tasks may submit tasks.

    Attributes:
        ledger: The block's.
        family: Which task submitted which.
        nesting: What a task may submit.
        tally: Counts the tasks that have ended here.
        examination: Looks at them for whoever asks.
    """

    def __init__(  # noqa: PLR0913 - as many facts, each from somewhere else
        self,
        runs: Runs,
        runtimes: Mapping[str, Refuses],
        default_runtime: str,
        windows: Mapping[str, int],
        *,
        scheduling: Scheduling | None = None,
        ends: float | None = None,
        record: bool = True,
        limits: Limits = _PLENTY,
    ) -> None:
        self.ledger, self.family = runs.ledger, Family()
        self._runs, self._runtimes = runs, runtimes
        self._starts = Starts()
        self._backlog = Backlog(runs.ledger, runtimes, default_runtime, windows, scheduling=scheduling or Fifo())
        runs.for_services.waiting = self._backlog.long_wanted
        runs.for_services.requests = self._backlog.requests
        self._home: dict[int, Lane | ActiveRun] = {}
        self._last_starts = None if ends is None else LastStarts(ends, self._waits)
        self._late: list[int] = []
        self._times = Times(record)
        self._feeder = Feeder(
            runs, self._backlog, self._starts, self._home,
            times=self._times, last_starts=self._last_starts, family=self.family,
        )  # fmt: skip
        self._outcomes = Outcomes(self._times, self.family)
        self.nesting = Nesting(
            self.family, runs, self._backlog, self._home, last_starts=self._last_starts, limits=limits
        )
        self.tally = self._outcomes.tally
        self.examination = Examination(self._backlog, runs, self._starts, self._home)

    # --- what the shell takes -----------------------------------------------------------------------------------

    def take(self, *, decided: bool = False) -> list[Instruction]:
        """Return the instructions since the last call, in order; unless `decided`, what can start is started first."""
        if not decided and (now := self._feeder.due) is not None:
            self._take_late(now)  # whatever happened, it comes first
            self._feeder.schedule(now)
        return self._runs.take()

    @property
    def has_results(self) -> bool:
        """Whether there are some to take."""
        return self._outcomes.has_results or self._runs.lender.has_closed

    def take_results(self) -> tuple[list[Result], list[LeaseRecord], list[TaskTimes]]:
        """Return the driver's results, closed leases, and times of the results, in their order, since the last call.

        The family has the other results.
        """
        results, times = self._outcomes.take(), self._times.take()
        if self.family.has_begun:
            times = [each for each, result in zip(times, results, strict=False) if result.id not in self.family]
            results = self.family.sort(results)
        return results, self._runs.lender.take_closed(), times

    def take_late(self) -> list[int]:
        """Return the tasks that were taken out because they would not end before the block: they are the driver's."""
        late, self._late = self._late, []
        return late

    @property
    def queued(self) -> int:
        """Tasks that wait."""
        return len(self._backlog)

    def waits(self) -> dict[str, int]:
        """Return how many tasks wait for what; it is noted as what they waited for."""
        return self._feeder.waits.review()

    @property
    def idle(self) -> bool:
        """Whether there is no task."""
        return not self._home

    @property
    def only_parents(self) -> bool:
        """Whether all tasks wait for tasks of their own: nothing else ends soon."""
        return len(self._home) <= len(self.family.parents)

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
        for active in self._runs:
            counts[active.lane.runtime] += active.has
        return counts

    def begun(self) -> list[int]:
        """Return the unfinished tasks that are or were with a runtime."""
        return [task for active in self._runs for task in active.numbers()]

    def open_leases(self) -> Iterator[LeaseRecord]:
        """Yield the record of the leases that services and tasks hold now."""
        return self._runs.open_leases()

    # --- events -------------------------------------------------------------------------------------------------

    def submit(self, tasks: Sequence[Task], now: float) -> None:
        """Tasks arrived; one that is here already is no second one."""
        if len(tasks) == 1 and self._feeder.start_alone(tasks[0], now):
            return
        for task in (task for task in tasks if task.id not in self._home):
            self._times.came(task.id, now)
            try:
                lane = self._home[task.id] = self._backlog.put(task, now)
                self.want(lane.runtime)
                self._note_last_start(task, lane)
            except RhapsodyError as error:
                self._outcomes.failed(task.id, error, None)
        self._backlog.settle()
        self._feeder.due = now

    def adopt(self, parent: int, peer: Hashable, tasks: Sequence[Task], keep: bool, *, now: float) -> None:
        """A task submits tasks; of one that does not run any more nobody wants them."""
        adopted, behind = self.nesting.adopt(parent, peer, tasks, keep=keep, now=now)
        if behind and isinstance(active := self._home[parent], ActiveRun):
            self._runs.out.append(CancelTasks(active.lane.runtime, active.run, behind, kill=False))
        self.submit(adopted, now)

    def end_orphans(self, now: float) -> None:
        """Cancel what tasks have submitted that have ended, and so on down."""
        while orphans := self.family.take_orphans():
            self.cancel(orphans, now)

    def cancel(self, tasks: Iterable[int], now: float) -> None:
        """The driver wants these no more; they are not reported."""
        for task in tasks:
            home = self._home.get(task)
            if isinstance(home, ActiveRun):
                home.to_end(task, "cancelled")
                self._runs.kill(home, [task])
            elif home is not None:
                home.remove(task)
                del self._home[task]
                self._outcomes.cancelled(task, home)
        self._feeder.due = now

    def return_waiting(self) -> list[int]:
        """The driver takes back what waits, but for tasks of tasks, which are not its own; return it."""
        if self.family.has_begun:
            tasks = [task.id for task in self._backlog.take_if(lambda task: task.id not in self.family)]
        else:
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
        again = []
        for result in results:
            if (task := active.pop(result.id)) is None:
                continue
            del self._home[result.id]
            if result.kind and self._outcomes.goes_on(active, result):
                again.append(task)
                continue
            self._runs.learn(active.lane, result.seconds, task)
            if not self._outcomes.ended(active, result):
                self._runs.out.append(DiscardResults([result.id]))
        active.fed_at, active.recalled = now, False
        self._requeue(active.lane, again, now)
        self._feeder.alarms.set(active, (), now)
        self._starts.succeeded(active.lane.runtime)
        self._feeder.go_on(active, now)

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
            if active.take_why(task.id) == "cancelled":
                self._outcomes.cancelled(task.id, active.lane)
            else:
                wanted.append(task)
        self._requeue(active.lane, wanted, now)
        self._feeder.alarms.set(active, (), now)
        self._feeder.go_on(active, now)
        self._feeder.due = now

    def lost(self, run: int, error: RhapsodyError, untouched: Sequence[int], now: float) -> None:
        """A run is over before its tasks."""
        active = self._runs.get(run)
        if active is None:
            return
        error = active.lost_with or error
        self._runs.out.append(self._outcomes.discarded(active))
        tasks = active.pop_all()
        for task in tasks:
            del self._home[task.id]
        again = [task for task in tasks if self._outcomes.survives(active, task.id, error, untouched)]
        for task in (hopeless := [task for task in again if self._backlog.is_hopeless(task)]):
            self._outcomes.failed(task.id, error, active.lane)
        self._requeue(active.lane, [task for task in again if task not in hopeless], now)
        self._runs.close(active)
        if isinstance(error, BackendFailed):
            self._start_failed(active, error, now, slowly=bool(tasks) and not untouched)
        self._feeder.due = now

    def _start_failed(self, failed: ActiveRun, error: BackendFailed, now: float, slowly: bool) -> None:
        """Wait before the next start of a runtime's processes; with no hope left, what waits for one fails."""
        name = failed.lane.runtime
        self._starts.failed(name, failed.fed_at, now, slowly)
        others = (active.fed_at for active in self._runs if active.lane.runtime == name and active.has)
        if self._starts.gives_up(name, others):
            self._fail(self._backlog.take(lambda lane: lane.runtime == name), error)

    def memory_exceeded(self, run: int, error: MemoryExceeded) -> None:
        """The processes of a run hold more than it leases: they are killed, and will be reported `lost`."""
        active = self._runs.get(run)
        if active is not None:
            active.lost_with = self._feeder.fitting.judge(active, error)
            self._runs.kill(active, active.numbers())

    def node_lost(self, name: str, reason: str, now: float) -> None:
        """A node is lost: it is set aside, and what runs there will be reported `lost`; what needs it fails."""
        error = NodeLost(name, reason)
        self._runs.end_idle()
        self.ledger.set_away(name, away=True)
        for active in self._runs:
            if any(placed.node.name == name for placed in active.run.placed):
                active.lost_with = error
                self._runs.kill(active, active.numbers())
        self._fail(self._backlog.take_hopeless(), error)
        self._feeder.due = now

    def room_changed(self, now: float) -> None:
        """A service has given something back, or waits for something."""
        self._feeder.due = now

    def set_window(self, service: str, window: int, now: float) -> None:
        """A service is to have so many requests at once: it has more replicas than before, or fewer."""
        self._backlog.set_window(service, window)
        self._feeder.due = now

    def node_back(self, name: str, now: float) -> None:
        """A node that was lost can be used again."""
        self.ledger.set_away(name, away=False)
        self._feeder.due = now

    def want(self, name: str) -> None:
        """A runtime is to be started, if it is not."""
        if self._starts.want(name):
            self._runs.out.append(StartRuntime(name))

    def runtime_ready(self, name: str, now: float) -> None:
        """A runtime can take tasks."""
        self._starts.ended(name, ready=True)
        self._times.ready(name, now)
        self._feeder.due = now

    def runtime_failed(self, name: str, error: RhapsodyError, now: float) -> None:
        """A runtime did not start: what waits for it fails; the next task tries again."""
        self._starts.ended(name, ready=False)
        self._fail(self._backlog.take(lambda lane: lane.runtime == name), error)
        self._feeder.due = now

    def tick(self, now: float) -> None:
        """Time passed: end what outlived its walltime, take back what waits behind a long task."""
        for active, task in self._feeder.alarms.passed(now):
            active.to_end(task.id, WalltimeExceeded(self._backlog.spec_of(task).policy.walltime))
            self._runs.kill(active, [task.id])
        for active in self._feeder.alarms.long(now):
            if behind := active.recall(now):
                self._runs.out.append(CancelTasks(active.lane.runtime, active.run, behind, kill=False))
            elif self._feeder.fitting.alone(active):
                self._runs.out.append(Fit(active.run))
        for kept in self._runs.idle.expired(now):
            self._runs.close(kept)
        self._feeder.due = now

    def next_tick(self, now: float) -> float | None:
        """Return in how many seconds `tick` has something to do, or None."""
        due = self._feeder.next(now) + self._runs.idle.next_expiry(now) + self._backlog.lateness.next(now)
        due += self._starts.next_due(now)
        if self._last_starts:
            due += self._last_starts.next(now)
        return max(0.0, min(due)) if due else None

    def _requeue(self, lane: Lane, tasks: list[Task], now: float) -> None:
        self._backlog.put_back(lane, tasks, now)
        for task in tasks:
            self._home[task.id] = lane
            self._note_last_start(task, lane)
            self.want(lane.runtime)
        self._take_late(now)

    def _waits(self, task: int) -> bool:
        return isinstance(self._home.get(task), Lane)

    def _note_last_start(self, task: Task, lane: Lane) -> None:
        if self._last_starts and lane.timed:
            self._last_starts.add(task.id, self._backlog.spec_of(task).policy.walltime)

    def _take_late(self, now: float) -> None:
        """Take out what waits and would not end before the block."""
        late: dict[Lane, set[int]] = {}
        for task in self._last_starts.passed(now) if self._last_starts else ():
            home = self._home.pop(task)
            if isinstance(home, Lane):
                late.setdefault(home, set()).add(task)
            if task in self.family:
                self._outcomes.failed(task, UnroutableTask("walltime", 0, "the block ends before"), None)
                continue
            self._outcomes.forget(task)
            self._late.append(task)
        for lane, tasks in late.items():
            lane.take_if(lambda task, tasks=tasks: task.id in tasks)  # type: ignore[misc]  # bound for this lane

    def _fail(self, waited: Iterable[Task], error: RhapsodyError) -> None:
        """Tasks that no longer wait fail."""
        for task in waited:
            home = self._home.pop(task.id)
            self._outcomes.failed(task.id, error, home if isinstance(home, Lane) else None)
