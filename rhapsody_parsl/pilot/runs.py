"""The runs under way and their leases: opened, left idle for a moment, closed; what services borrow."""

from collections.abc import Callable, Iterator

from rhapsody_parsl.pilot.expected_ends import ExpectedEnds
from rhapsody_parsl.pilot.idle_leases import IdleLeases
from rhapsody_parsl.pilot.instructions import CancelTasks, EndRun, Instruction
from rhapsody_parsl.pilot.lane import ActiveRun, Lane
from rhapsody_parsl.pilot.launches import Launches
from rhapsody_parsl.pilot.ledger import Lease, Ledger
from rhapsody_parsl.pilot.lender import Lender
from rhapsody_parsl.pilot.service_leases import ServiceLeases
from rhapsody_parsl.pilot.took import FADING
from rhapsody_parsl.runtimes.protocol import Placed, Run
from rhapsody_parsl.wire.leases import LeaseRecord
from rhapsody_parsl.wire.messages import Task

__all__ = ("Runs",)


class Runs:
    """The runs of a block.

    Args:
        ledger: The block's, nothing lent yet.
        clock: Seconds since the epoch, for the record of leases.
        most_launches: How many runs may launch at once; 0 for any number.

    Attributes:
        ledger: Counts what the leases hold.
        lender: Lends it.
        for_services: Lends it to services.
        idle: Runs with a lease and no task.
        launches: Counts those that launch.
        ends: When each run is expected to end; None where nobody asks.
        longest: Seconds that the longest task took of late; one that was longer long ago counts less and less.
        out: Instructions that nobody has taken yet, of the core too.
    """

    def __init__(self, ledger: Ledger, clock: Callable[[], float] = lambda: 0.0, most_launches: int = 0) -> None:
        self.ledger = ledger
        self.lender = Lender(ledger, clock)
        self.idle, self.launches = IdleLeases(), Launches(most_launches)
        self.ends: ExpectedEnds | None = None
        self.longest = 0.0
        self.out: list[Instruction] = []
        self._runs: dict[int, ActiveRun] = {}
        self._count = 0
        self.for_services = ServiceLeases(ledger, self.lender, self.end_idle, self._put)

    def __iter__(self) -> Iterator[ActiveRun]:
        return iter(self._runs.values())

    def get(self, run: int) -> ActiveRun | None:
        """Return the run of a number, if it is under way."""
        return self._runs.get(run)

    def _put(self, instruction: Instruction) -> None:
        self.out.append(instruction)

    def take(self) -> list[Instruction]:
        """Return the instructions since the last call, in order."""
        out, self.out = self.out, []
        return out

    def open(self, lane: Lane, lease: Lease | None, placed: tuple[Placed, ...], now: float) -> ActiveRun:
        """Open a run of a lane, with a lease if it takes one."""
        self._count += 1
        active = ActiveRun(Run(self._count, lane.spec, placed), lane, lease, now)
        self._runs[active.run.id] = lane.runs[active.run.id] = active
        self.launches.opened(lane)
        if self.ends:
            self.ends.opened(active)
        return active

    def learn(self, lane: Lane, seconds: float, task: Task | None = None) -> None:
        """A task of a lane took so long."""
        lane.durations.learn(seconds)
        self.longest = max(seconds, self.longest - FADING * (self.longest - seconds))
        if self.ends:
            self.ends.ended(lane, seconds, task)

    def change_lane(self, active: ActiveRun, lane: Lane) -> None:
        """A run that has no task left goes on with those of another lane; for the record with another lease."""
        self.lender.pause(active)
        del active.lane.runs[active.run.id]
        active.lane = lane
        lane.runs[active.run.id] = active

    def kill(self, active: ActiveRun, tasks: list[int]) -> None:
        """Have some of its tasks ended; the runtime will report them."""
        self.out.append(CancelTasks(active.lane.runtime, active.run, tasks, kill=True))

    def close(self, active: ActiveRun) -> None:
        """Close a run that has no task left; its lease is free."""
        del self._runs[active.run.id]
        del active.lane.runs[active.run.id]
        if not active.total:
            self.idle.discard(active)
        self.lender.release(active)
        self.launches.closed(active.lane)
        if self.ends:
            self.ends.closed(active)
        self.out.append(EndRun(active.lane.runtime, active.run))

    def keep(self, active: ActiveRun, now: float) -> None:
        """Leave a run its lease for a while; for the record it ends now."""
        self.end_idle(but_of=active.lane)
        self.idle.add(active, now)
        self.lender.pause(active)

    def end_idle(self, but_of: Lane | None = None) -> None:
        """What is kept is wanted, or of another lane than this."""
        for kept in self.idle.but_of(but_of):
            self.close(kept)

    def open_leases(self) -> Iterator[LeaseRecord]:
        """Yield the record of the leases that services and tasks hold now."""
        yield from self.lender.services
        yield from (active.record(0.0) for active in self if active.lease and active.has)
