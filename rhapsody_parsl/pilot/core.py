"""The tasks of a block and what happens to them: events in, instructions out, no I/O.

The shell (`loop`) calls a method for each event and then performs `take()`. Times are the caller's, of any one clock.
"""

import heapq
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from rhapsody_parsl.errors import NodeLost, RhapsodyError, UnroutableTask, WalltimeExceeded, to_wire
from rhapsody_parsl.pilot import scheduler
from rhapsody_parsl.pilot.instructions import CancelTasks, DiscardResults, EndRun, Feed, Instruction, StartRuntime
from rhapsody_parsl.pilot.lane import ActiveRun, Lane
from rhapsody_parsl.pilot.ledger import Lease, Ledger
from rhapsody_parsl.pilot.router import Refuses, route
from rhapsody_parsl.runtimes.protocol import Placed, Run
from rhapsody_parsl.spec.task_spec import TaskSpec, decode_spec
from rhapsody_parsl.wire.messages import FAILED, LeaseRecord, Result, Task

__all__ = ("Core",)

_PATIENCE = 3.0
_RECALL_AFTER = 0.05
_KEEP = 0.02
"""Seconds a run of short tasks keeps its lease after the last, if nobody waits: its next finds all as it was left."""
_MOST_RERUNS = 3
_MOST_LANES = 1000


class Core:
    """State machine over all tasks of a block.

    Args:
        ledger: The block's, nothing lent yet.
        runtimes: What the router asks, by name.
        default_runtime: For tasks that name none.
        windows: For runtimes whose tasks take no lease: how many they want at once.
        ageing: Seconds of waiting that weigh as much as one step of priority.
        clock: Seconds since the epoch, for the record of leases.
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
        self._runtimes, self._default, self._windows = runtimes, default_runtime, windows
        self._ageing, self._clock = ageing, clock
        self._state: dict[str, str] = {}
        self._lanes: dict[bytes, Lane] = {}
        self._waiting: dict[bytes, Lane] = {}
        self._runs: dict[int, ActiveRun] = {}
        self._kept: OrderedDict[int, ActiveRun] = OrderedDict()  # all of one lane
        self._run_count = 0
        self._home: dict[int, Lane | ActiveRun] = {}
        self._reruns: dict[int, int] = {}
        self._affinity: dict[str, str] = {}
        self._blocked: list[tuple[Lane, set[str]]] = []
        self._deadlines: list[tuple[float, int, int]] = []
        self._out: list[Instruction] = []
        self._results: list[Result] = []
        self._closed: list[LeaseRecord] = []
        self._borrowed: list[LeaseRecord] = []
        self.counts = {"done": 0, "failed": 0}
        self.ended_by_runtime: Counter[str] = Counter()

    # --- what the shell takes -----------------------------------------------------------------------------------

    def take(self) -> list[Instruction]:
        """Return the instructions since the last call, in order."""
        out, self._out = self._out, []
        return out

    def take_results(self) -> tuple[list[Result], list[LeaseRecord]]:
        """Return results and closed leases since the last call."""
        ended = self._results, self._closed
        self._results, self._closed = [], []
        return ended

    @property
    def queued(self) -> int:
        """Tasks that wait."""
        return sum(len(lane) for lane in self._waiting.values())

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
        return self._borrowed + [a.record(0.0) for a in self._runs.values() if a.lease is not None and a.inflight]

    # --- events -------------------------------------------------------------------------------------------------

    def submit(self, tasks: Iterable[Task], now: float) -> None:
        """Tasks arrived."""
        for task in tasks:
            try:
                lane = self._lanes.get(task.spec)
                if lane is None:  # an empty one counts: it knows how long its tasks are
                    lane = self._open_lane(task.spec)
                if self.ledger.away and self._is_hopeless(lane):
                    raise NodeLost(", ".join(self.ledger.away), "what is left of the block cannot hold it")
            except RhapsodyError as error:
                self._report(task.id, error)
                continue
            lane.put((task,), now)
            self._waiting[task.spec] = lane
            self._home[task.id] = lane
        self.schedule(now)

    def cancel(self, tasks: Iterable[int], now: float) -> None:
        """The driver wants these no more; they are not reported."""
        for task in tasks:
            home = self._home.get(task)
            if isinstance(home, ActiveRun):
                home.ended_by[task] = "cancelled"
                self._out.append(CancelTasks(home.lane.runtime, home.run, [task], kill=True))
            elif home is not None:
                home.remove(task)
                del self._home[task]
        self.schedule(now)

    def withdraw(self) -> list[int]:
        """The driver takes back what waits; return it."""
        tasks = [task.id for lane in self._waiting.values() for task in lane.take(len(lane))]
        for task in tasks:
            self._forget(task)
        self._waiting.clear()
        return tasks

    def done(self, run: int, results: Sequence[Result], now: float) -> None:
        """Tasks of a run ended."""
        active = self._runs.get(run)
        if active is None:
            return
        for result in results:
            if active.inflight.pop(result.id, None) is None:
                continue
            self._forget(result.id)
            active.lane.learn(result.seconds)
            why = active.ended_by.pop(result.id, "")
            if why == "walltime" and result.kind == FAILED:
                self._report(result.id, WalltimeExceeded(active.lane.spec.policy.walltime))
            elif why == "cancelled":
                self._out.append(DiscardResults([result.id]))
            else:
                self._results.append(result)
                self.counts["failed" if result.kind == FAILED else "done"] += 1
                self.ended_by_runtime[active.lane.runtime] += 1
        active.fed_at, active.recalled = now, False
        self._continue(active, now)

    def given_back(self, run: int, tasks: Sequence[int], now: float) -> None:
        """Tasks of a run had not begun."""
        active = self._runs.get(run)
        if active is None:
            return
        returned = [active.inflight.pop(task) for task in tasks if task in active.inflight]
        wanted = [task for task in returned if active.ended_by.pop(task.id, "") != "cancelled"]
        for task in returned:
            self._home.pop(task.id, None)
        self._requeue(active.lane, wanted, now)
        self._continue(active, now)
        self.schedule(now)

    def lost(self, run: int, error: RhapsodyError, untouched: Sequence[int], now: float) -> None:
        """A run is over before its tasks."""
        active = self._runs.get(run)
        if active is None:
            return
        error = active.lost_with or error
        self._out.append(DiscardResults(list(active.inflight)))
        again = [task for task in active.inflight.values() if self._survives(active, task, error, untouched)]
        active.inflight.clear()
        if self.ledger.away and self._is_hopeless(active.lane):
            for task in again:
                self._report(task.id, error)
        else:
            self._requeue(active.lane, again, now)
        self._close(active)
        self.schedule(now)

    def _survives(self, active: ActiveRun, task: Task, error: RhapsodyError, untouched: Sequence[int]) -> bool:
        """Whether a task of a lost run goes on elsewhere; else it is reported here."""
        why = active.ended_by.get(task.id, "")
        self._home.pop(task.id, None)
        if why == "cancelled":
            return False
        if why == "walltime":
            self._report(task.id, WalltimeExceeded(active.lane.spec.policy.walltime))
            return False
        if task.id in untouched or self._may_rerun(active.lane.spec, task.id):
            return True
        self._report(task.id, error)
        return False

    def node_lost(self, name: str, reason: str, now: float) -> None:
        """A node is lost: it is set aside, and what runs there will be reported `lost`; what needs it fails."""
        error = NodeLost(name, reason)
        self._end_kept()
        self.ledger.set_away(name, away=True)
        for active in self._runs.values():
            if any(placed.node.name == name for placed in active.run.placed):
                active.lost_with = error
                self._out.append(CancelTasks(active.lane.runtime, active.run, list(active.inflight), kill=True))
        for lane in self._waiting.values():
            if self._is_hopeless(lane):
                for task in lane.take(len(lane)):
                    self._report(task.id, error)
        self.schedule(now)

    def node_back(self, name: str, now: float) -> None:
        """A node that was lost can be used again."""
        self.ledger.set_away(name, away=False)
        self.schedule(now)

    def want(self, name: str) -> None:
        """A runtime is to be started, if it is not."""
        if self._state.get(name, "off") == "off":
            self._state[name] = "starting"
            self._out.append(StartRuntime(name))

    def runtime_ready(self, name: str, now: float) -> None:
        """A runtime can take tasks."""
        self._state[name] = "ready"
        self.schedule(now)

    def runtime_failed(self, name: str, error: RhapsodyError, now: float) -> None:
        """A runtime did not start: what waits for it fails; the next task tries again."""
        self._state[name] = "off"
        for lane in [lane for lane in self._waiting.values() if lane.runtime == name]:
            for task in lane.take(len(lane)):
                self._report(task.id, error)
        self.schedule(now)

    def tick(self, now: float) -> None:
        """Time passed: end what outlived its walltime, take back what waits behind a long task."""
        while self._deadlines and self._deadlines[0][0] <= now:
            _, run, task = heapq.heappop(self._deadlines)
            active = self._runs.get(run)
            if active is not None and task in active.inflight:
                active.ended_by.setdefault(task, "walltime")
                self._out.append(CancelTasks(active.lane.runtime, active.run, [task], kill=True))
        for active in self._runs.values():
            self._recall(active, now)
        while (kept := self._first_kept()) and now - kept.fed_at > _KEEP - 1e-6:
            self._close(kept)
        self.schedule(now)

    def next_tick(self, now: float) -> float | None:
        """Return in how many seconds `tick` has something to do, or None."""
        due = [self._deadlines[0][0] - now] if self._deadlines else []
        due += [a.fed_at + _RECALL_AFTER - now for a in self._runs.values() if a.recallable]
        due += [kept.fed_at + _KEEP - now] if (kept := self._first_kept()) else []
        waits = [lane.waited(now) for lane, _ in self._blocked if len(lane)]
        due += [_PATIENCE + 0.01 - waited for waited in waits if waited <= _PATIENCE]  # once past it, only ends help
        return max(0.0, min(due)) if due else None

    def borrow(self, borrower: str, wants: TaskSpec, key: str = "") -> tuple[Placed, ...] | None:
        """Lease something for the block's life, for a service.

        Args:
            borrower: Who holds it, for the record.
            wants: What, and of which nodes.
            key: Tasks that ask to be `near` this go to the lease's first node.

        Returns:
            The parts, or None when it does not fit now.
        """
        self._end_kept()
        placing = scheduler.place(wants, self.ledger) or []
        lease = self.ledger.acquire(borrower, placing, permanent=True) if placing else None
        if lease is None:
            return None
        if key:
            self._affinity.setdefault(key, lease.shares[0].node)
        self._borrowed.append(LeaseRecord(lease.id, "vllm", borrower, lease.shares, self._clock(), 0.0))
        return self._placed(lease, [part.ranks for _, part in placing])

    # --- decisions ----------------------------------------------------------------------------------------------

    def schedule(self, now: float) -> None:
        """Start whatever can start, in order; keep nodes free for gangs that have waited long enough."""
        self._blocked = []
        held: set[str] = set()
        lanes = [(key, lane) for key, lane in self._waiting.items() if len(lane)]
        if len(lanes) != len(self._waiting):
            self._waiting = dict(lanes)
            self._drop_empty_lanes()
        if lanes and self._kept:
            self._end_kept(but_of=lanes[0][1] if len(lanes) == 1 else None)
        for lane in (
            sorted(self._waiting.values(), key=lambda lane: lane.order) if len(lanes) > 1 else [v for _, v in lanes]
        ):
            self.want(lane.runtime)
            if self._state[lane.runtime] == "ready":
                self._serve(lane, held, now)
                if len(lane) and not lane.window:
                    late = lane.waited(now) > _PATIENCE
                    mine = scheduler.reserve(lane.spec, self.ledger, held) if late else set()
                    held |= mine
                    self._blocked.append((lane, mine))

    def _drop_empty_lanes(self) -> None:
        """Forget specs that have not been seen for long: a campaign may make up a new one for every task."""
        if len(self._lanes) > _MOST_LANES:
            self._lanes = {key: lane for key, lane in self._lanes.items() if len(lane) or lane.runs}

    def _serve(self, lane: Lane, held: set[str], now: float) -> None:
        """Go on with runs that were kept, open runs while the block has room, put short tasks behind those that run."""
        if lane.window:
            only = next(iter(lane.runs.values()), None) or self._open_run(lane, None, [], now)
            self._feed(only, lane.window - len(only.inflight), now)
            return
        while len(lane) and self._kept:
            self._feed(next(reversed(self._kept.values())), lane.portion(self.ledger.cores), now)
        while len(lane) and (active := self._lease_run(lane, held, now)):
            self._feed(active, lane.portion(self.ledger.cores), now)
        if len(lane) and lane.depth > 1:
            for active in lane.runs.values():
                if len(lane) and active.hungry and self._may_continue(active):
                    self._feed(active, min(lane.depth - len(active.inflight), lane.portion(self.ledger.cores)), now)

    def _lease_run(self, lane: Lane, held: set[str], now: float) -> ActiveRun | None:
        near = self._affinity.get(lane.spec.policy.near, "")
        placing = scheduler.place(lane.spec, self.ledger, held, near)
        lease = self.ledger.acquire(lane.spec.name, placing) if placing else None
        if lease is None or placing is None:
            return None
        if lane.spec.policy.near:
            self._affinity.setdefault(lane.spec.policy.near, placing[0][0])
        return self._open_run(lane, lease, [part.ranks for _, part in placing], now)

    def _open_run(self, lane: Lane, lease: Lease | None, ranks: list[int], now: float) -> ActiveRun:
        self._run_count += 1
        run = Run(self._run_count, lane.spec, self._placed(lease, ranks) if lease else ())
        active = ActiveRun(run, lane, lease, now)
        active.began = self._clock()
        self._runs[run.id] = lane.runs[run.id] = active
        return active

    def _placed(self, lease: Lease, ranks: list[int]) -> tuple[Placed, ...]:
        accounts = self.ledger.accounts
        return tuple(Placed(accounts[s.node].node, s, r) for s, r in zip(lease.shares, ranks, strict=True))

    def _feed(self, active: ActiveRun, count: int, now: float) -> None:
        tasks = active.lane.take(count)
        if not tasks:
            return
        if self._kept.pop(active.run.id, None):
            active.began = self._clock()
        walltime = active.lane.spec.policy.walltime
        for task in tasks:
            active.inflight[task.id] = task
            self._home[task.id] = active
            if walltime:
                heapq.heappush(self._deadlines, (now + walltime, active.run.id, task.id))
        active.total += len(tasks)
        active.fed_at = now
        self._out.append(Feed(active.lane.runtime, active.run, tasks))

    def _continue(self, active: ActiveRun, now: float) -> None:
        """Feed a run again, or end it; its lease stays with the lane while nobody before it waits for that."""
        lane = active.lane
        if lane.window:
            self._feed(active, lane.window - len(active.inflight), now)
            return
        if (
            len(lane)
            and self._state.get(lane.runtime) == "ready"
            and not active.ended_by
            and self._may_continue(active)
        ):
            if active.hungry:
                self._feed(active, min(lane.depth - len(active.inflight), lane.portion(self.ledger.cores)), now)
            return
        if active.inflight:
            return
        if lane.depth > 1 and not active.ended_by and not active.lost_with and not self._anyone_waits():
            self._keep(active, now)
        else:
            self._close(active)
            self.schedule(now)

    def _anyone_waits(self) -> bool:
        if any(map(len, self._waiting.values())):
            return True
        self._waiting.clear()
        self._drop_empty_lanes()
        return False

    def _keep(self, active: ActiveRun, now: float) -> None:
        """Leave a run its lease for a while; for the record it ends now."""
        self._end_kept(but_of=active.lane)
        active.fed_at = now
        self._kept[active.run.id] = active
        self._record(active)
        active.total = 0

    def _end_kept(self, but_of: Lane | None = None) -> None:
        """What is kept is wanted, or of another lane than this."""
        while (kept := self._first_kept()) and kept.lane is not but_of:
            self._close(kept)

    def _first_kept(self) -> ActiveRun | None:
        return next(iter(self._kept.values()), None)

    def _may_continue(self, active: ActiveRun) -> bool:
        """Whether nobody with an older claim waits for what this run holds."""
        order = active.lane.order
        for lane, held in self._blocked:
            if lane is active.lane or not len(lane) or lane.order >= order:
                continue
            placed = active.run.placed
            if any(p.node.name in held for p in placed) or scheduler.would_help(placed, lane.spec, self.ledger):
                return False
        return True

    def _recall(self, active: ActiveRun, now: float) -> None:
        """A worker stays on one task: what was put behind it is wanted elsewhere."""
        if active.recallable and now - active.fed_at > _RECALL_AFTER - 1e-6:
            active.recalled = True
            active.lane.learn(now - active.fed_at)
            behind = list(active.inflight)[1:]
            self._out.append(CancelTasks(active.lane.runtime, active.run, behind, kill=False))

    # --- ends ---------------------------------------------------------------------------------------------------

    def _open_lane(self, encoded: bytes) -> Lane:
        spec = decode_spec(encoded)
        runtime = route(spec, self._runtimes, self._default)
        window = self._windows.get(runtime, 0)
        if not window and not scheduler.can_ever_fit(spec, self.ledger, whole=True):
            raise UnroutableTask("resources", spec.name, scheduler.why_never(spec, self.ledger), "Ask for less")
        lane = Lane(spec, runtime, window, self._ageing)
        self._lanes[encoded] = lane
        return lane

    def _is_hopeless(self, lane: Lane) -> bool:
        """Whether what is left of the block can never hold its tasks."""
        return not lane.window and not scheduler.can_ever_fit(lane.spec, self.ledger)

    def _close(self, active: ActiveRun) -> None:
        del self._runs[active.run.id]
        del active.lane.runs[active.run.id]
        kept = self._kept.pop(active.run.id, None)
        if active.lease is not None:
            self.ledger.release(active.lease)
            if not kept:
                self._record(active)
        self._out.append(EndRun(active.lane.runtime, active.run))

    def _record(self, active: ActiveRun) -> None:
        self._closed.append(active.record(self._clock()))

    def _may_rerun(self, spec: TaskSpec, task: int) -> bool:
        if spec.policy.on_loss != "rerun" or self._reruns.get(task, 0) >= _MOST_RERUNS:
            return False
        self._reruns[task] = self._reruns.get(task, 0) + 1
        return True

    def _requeue(self, lane: Lane, tasks: list[Task], now: float) -> None:
        if not tasks:
            return
        lane.put_back(tasks, now)
        self._waiting[tasks[0].spec] = lane
        for task in tasks:
            self._home[task.id] = lane

    def _forget(self, task: int) -> None:
        self._home.pop(task, None)
        self._reruns.pop(task, None)

    def _report(self, task: int, error: RhapsodyError) -> None:
        self._forget(task)
        self.counts["failed"] += 1
        self._results.append(Result(task, FAILED, msgspec.msgpack.encode(to_wire(error))))
