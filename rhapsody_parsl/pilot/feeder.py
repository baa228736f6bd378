"""Which waiting tasks start next, and in which run: what the core decides after the events of a turn."""

from rhapsody_parsl.pilot.alarms import Alarms
from rhapsody_parsl.pilot.backlog import Backlog
from rhapsody_parsl.pilot.expected_ends import ExpectedEnds
from rhapsody_parsl.pilot.family import Family
from rhapsody_parsl.pilot.fitting import Fitting
from rhapsody_parsl.pilot.instructions import Feed, Fit
from rhapsody_parsl.pilot.lane import ActiveRun, Lane
from rhapsody_parsl.pilot.lanes import LaneShape
from rhapsody_parsl.pilot.last_starts import LastStarts
from rhapsody_parsl.pilot.ledger import Lease
from rhapsody_parsl.pilot.reservations import Reservations
from rhapsody_parsl.pilot.runs import Runs
from rhapsody_parsl.pilot.starts import Starts
from rhapsody_parsl.pilot.succession import NOTHING, Succession
from rhapsody_parsl.pilot.times import Times
from rhapsody_parsl.pilot.waits import Waits
from rhapsody_parsl.runtimes.protocol import Placed
from rhapsody_parsl.wire.messages import Task

__all__ = ("Feeder",)

_MOST_AHEAD = 600.0
"""Seconds by which whoever needs untouched nodes may pass older claims there, at most: see `schedule`."""
_LOOKS = 64
"""Runs that a turn may look at, on average, for room behind what they have."""


class Feeder:
    """Gives runs the tasks that wait.

    Args:
        runs: The block's.
        backlog: Who waits.
        starts: Which runtimes can take tasks.
        home: Where each task is: it is kept up with what is given.
        times: When what befell the tasks.
        last_starts: Which tasks end before the block does; None where that never ends.
        family: Which task submitted which.

    Attributes:
        alarms: When a run of those that were given something needs a look.
        fitting: Makes leases suit their tasks.
        waits: What those wait for that wait.
        due: When something last happened after which others may start, until `schedule` has looked; else None.
    """

    def __init__(  # noqa: PLR0913 - as many facts, each from somewhere else
        self,
        runs: Runs,
        backlog: Backlog,
        starts: Starts,
        home: dict[int, Lane | ActiveRun],
        *,
        times: Times,
        last_starts: LastStarts | None = None,
        family: Family,
    ) -> None:
        self._runs, self._backlog, self._starts, self._home = runs, backlog, starts, home
        self._times, self._last_starts, self._family = times, last_starts, family
        self._ledger = runs.ledger
        starts.launches = runs.launches
        backlog.limit(runs.launches)
        runs.launches.watch(starts.ready)
        if backlog.ordering.backfill:
            runs.ends = ExpectedEnds(backlog.spec_of)
        self._reservations = Reservations(runs.ledger, backlog, starts.ready, runs.ends)
        self.fitting = Fitting(backlog, runs.lender, self._reservations)
        self._succession = Succession(runs, backlog, self.fitting, starts.ready)
        self.waits = Waits(backlog, runs.ledger.open, self._reservations, starts.ready)
        self.alarms = Alarms(lambda task: backlog.spec_of(task).policy.walltime)
        self.due: float | None = None

    def schedule(self, now: float) -> None:
        """Start whatever can start, in order; keep nodes free for gangs that have waited long enough.

        To empty a node again takes as long as its longest task. So by as much those who need untouched nodes pass older
        claims on those that there are: gangs follow gangs.
        """
        self.due = None
        self._backlog.settle()
        if self._runs.for_services.wanted:
            self._runs.for_services.serve(self._reservations.give_way)
        if self._backlog.is_empty():
            self._reservations.clear()
            return
        if self._runs.idle:
            self._use_idle_leases(now)
        self._start_all(now)
        while self._reservations.changed:  # nodes that were kept for a gang are open, for it has started
            self._start_all(now)
        self._put_behind(now)

    def _start_all(self, now: float) -> None:
        self._reservations.review(now)
        ready = self._starts.startable(now)
        ahead = min(self._runs.longest, _MOST_AHEAD)
        for lane in self._backlog.in_order(ready, self._reservations.may_start(), ahead):
            self._serve(lane, now)
        if not self._reservations.changed:
            for lane, task in self._reservations.in_time(now, ready, ahead):
                self._start(task, lane, now)

    def next(self, now: float) -> list[float]:
        """Return in how many seconds there is something to do, whatever happens."""
        return self.alarms.next(now) + self._reservations.next(now)

    def start_alone(self, task: Task, now: float) -> bool:
        """Start a task that comes alone while nobody waits, if there is room: to queue it would cost 20 µs."""
        lane = self._backlog.known_lane(task.spec)
        if lane is None or lane.differs or task.id in self._home or not self._backlog.is_empty():
            return False
        wanted = self._runs.for_services.wanted or self._backlog.is_hopeless(task)
        if wanted or not self._in_time(task, lane, now):
            return False
        self._runs.end_idle(but_of=lane)
        self._reservations.clear()
        active = self._runs.idle.take_newest()
        if active is None and lane.runtime in self._starts.ready and self._starts.may(lane.runtime, now):
            active = self._with_room(lane, now)
        if active is None:
            return False
        self._give(active, [task], now)
        return True

    def _in_time(self, task: Task, lane: Lane, now: float) -> bool:
        """Whether a task that starts now ends before the block does."""
        if self._last_starts is None or not lane.timed:
            return True
        return self._last_starts.allow(self._backlog.spec_of(task).policy.walltime, now)

    def go_on(self, active: ActiveRun, now: float) -> None:
        """Feed a run again, or end it; its lease stays with the lane while nobody before it waits for that."""
        lane = active.lane
        if lane.window:
            self.schedule(now)  # room in its window is for all who ask the service
            if not active.has:
                self._runs.close(active)
        elif self._goes_on(active, now) or active.has:
            if active.lane.most > active.lane.shape.demand.memory and active.lane.shape.has_room:
                self.due = now  # who is first now may ask for less memory, and have room where the one before had none
        elif active.lane.prefetch > 1 and active.may_go_on and not active.lost_with and self._backlog.is_empty():
            self._runs.keep(active, now)
        else:
            decided = self._succession.decides(active)
            self._runs.close(active)
            if decided:
                self._fill(now)
            else:
                self.due = now

    def _fill(self, now: float) -> None:
        """Start what has room on open nodes of which something was freed: in most cases there is no room elsewhere."""
        if self.due is not None or self._runs.idle or self._reservations.any or not self._succession.is_local:
            self.due = now
            return
        freed, ready = self._ledger.freed, self._starts.startable(now)
        while freed:
            _, node = freed.popitem()
            passed: list[LaneShape] = []
            while (lane := self._backlog.first_on(node, NOTHING, ready, passed=passed)) is not None:
                before = len(lane)
                self._serve(lane, now)
                if len(lane) == before:
                    passed.append(lane.shape)
        self._put_behind(now)

    def _goes_on(self, active: ActiveRun, now: float) -> bool:
        """Feed a run again if nobody has a better claim; return whether it goes on, or is being ended."""
        lane = active.lane
        if not (active.may_go_on and lane.runtime in self._starts.ready):
            return False
        if not (len(lane) and self._backlog.is_alone(lane)) and self._succession.decides(active):
            following = self._succession.choose(active)
            return following is not None and self._follow(active, following, now)
        if not (len(lane) and self._allowed(active, now)):
            return False
        return self._feed(active, active.room(self._ledger.cores), now) or bool(active.lost_with)

    def _follow(self, active: ActiveRun, lane: Lane, now: float) -> bool:
        """Have a run go on with tasks of a lane."""
        placed = active.run.placed
        if not self._succession.take_over(active, lane):
            return False
        if active.run.placed is not placed:
            self._runs.out.append(Fit(active.run))
        if not self._feed(active, active.room(self._ledger.cores), now):
            return bool(active.lost_with)
        if self._succession.leaves_room(active, placed[0].share):
            self._fill(now)
        return True

    def _allowed(self, active: ActiveRun, now: float) -> bool:
        """Whether nobody with a better claim waits for what a run holds."""
        if active.lane.launches and self._backlog.launches_before(active.lane):
            return False
        return not self._runs.for_services.wants(active.run) and self._reservations.allow(active, now)

    def _use_idle_leases(self, now: float) -> None:
        """Go on with runs that were kept, if what waits is all of their lane; else nobody keeps anything."""
        lane = self._backlog.sole()
        self._runs.end_idle(but_of=lane)
        while lane and len(lane) and (kept := self._runs.idle.take_newest()):
            if not self._feed(kept, lane.portion(self._ledger.cores), now):
                self._runs.close(kept)

    def _serve(self, lane: Lane, now: float) -> None:
        """Open runs for the first claim of a lane while the block has room."""
        order = lane.order
        while len(lane) and lane.order == order and (active := self._with_room(lane, now)):
            if not self._feed(active, active.room(self._ledger.cores), now):
                break  # its lease cannot be made to suit the next one
        if len(lane) and lane.runs:
            self._backlog.behind[lane] = None

    def _start(self, task: Task, lane: Lane, now: float) -> None:
        """Start a task, which need not be the first of its lane, if there is room."""
        if lane.launches and self._runs.launches.is_full:
            return
        if lent := self._lend(lane, now, task):
            self._note_start(lane)
            lane.remove(task.id)
            self._give(self._runs.open(lane, *lent, now), [task], now)
            self._backlog.behind[lane] = None

    def _put_behind(self, now: float) -> None:
        """Put short tasks behind those that run.

        A run that ends a task is fed then. So the look at all of them, which may be tens of thousands, can wait: it
        costs so many looks per turn, and one for each that is fed, in the long run.
        """
        for lane in self._backlog.lanes_behind():
            if lane.runtime in self._starts.ready and not lane.window:
                if lane.rest:
                    lane.rest -= 1
                else:
                    looks, fed = self._feed_runs(lane, now)
                    lane.rest = max(0, looks // _LOOKS - fed)

    def _feed_runs(self, lane: Lane, now: float) -> tuple[int, int]:
        """Give tasks to the runs with room; return how many were looked at, and how many had some."""
        looks = fed = 0
        for active in lane.runs.values():
            if not len(lane):
                break
            looks += 1
            if (room := active.room(self._ledger.cores)) and self._allowed(active, now):
                fed += self._feed(active, room, now)
        return looks, fed

    def _with_room(self, lane: Lane, now: float) -> ActiveRun | None:
        """Return a run of a lane with room for a task, a new one where it takes a lease; None when there is none.

        Tasks that run side by side fill the leases that are out before they take another.
        """
        if lane.beside:
            out = (run for run in lane.runs.values() if run.room(self._ledger.cores) and self._allowed(run, now))
            if (active := next(out, None)) is not None:
                return active
        if not lane.window:
            if lane.launches and self._runs.launches.is_full:
                return None
            lent = self._lend(lane, now)
            return self._runs.open(lane, *lent, now) if lent else None
        if lane.shape.free_window <= 0:
            return None
        return next(iter(lane.runs.values()), None) or self._runs.open(lane, None, (), now)

    def _lend(self, lane: Lane, now: float, task: Task | None = None) -> tuple[Lease, tuple[Placed, ...]] | None:
        """Lend a task of a lane, or its first, open nodes; if these are not enough, also those that it may use."""
        shape = lane.shape
        if not (shape.has_room or self._reservations.any):
            return None
        spec = self._backlog.wants(lane, task)
        demand = shape.demand_of(spec)
        lent = self._runs.lender.lend(spec, demand, [shape.room])
        if lent is None and (kept := self._reservations.rooms(lane, demand, now, task)):
            lent = self._runs.lender.lend(spec, demand, [shape.room, *kept])
        if lent is not None:
            self._reservations.served(shape)
        return lent

    def _feed(self, active: ActiveRun, count: int, now: float) -> bool:
        """Give a run tasks of its lane, so many at most; return whether it was given any."""
        lane, placed = active.lane, active.run.placed
        self._note_start(lane)
        tasks = self.fitting.take(active, count) if lane.differs else lane.take(count)
        if not tasks:
            return False
        if active.run.placed is not placed:
            self._runs.out.append(Fit(active.run))
        self._give(active, tasks, now)
        return True

    def _note_start(self, lane: Lane) -> None:
        """The queue stands where a lane's first task has its claim."""
        ordering = self._backlog.ordering
        if ordering.follows and (claim := lane.order) is not None:
            ordering.started(claim)

    def _give(self, active: ActiveRun, tasks: list[Task], now: float) -> None:
        if not active.total or active.lane.mixed:
            self._runs.lender.begin(active, self._backlog.name_of(tasks[0], active.lane))
        if self._family.has_begun:
            self._runs.lender.note_parent(active, self._family.parent_of(tasks[0].id))
        for task in tasks:
            self._home[task.id] = active
        active.put(tasks)
        active.fed_at = now
        self._times.placed(tasks, active, now)
        self.alarms.set(active, tasks, now)
        self._runs.out.append(Feed(active.lane.runtime, active.run, tasks))
