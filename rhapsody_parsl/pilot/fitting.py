"""What a run takes of a lane whose tasks differ in memory or in what they are `near`, and its lease made to suit."""

from rhapsody_parsl.errors import MemoryExceeded
from rhapsody_parsl.pilot.account import LEAST
from rhapsody_parsl.pilot.backlog import Backlog
from rhapsody_parsl.pilot.lane import ActiveRun, Lane
from rhapsody_parsl.pilot.lender import Lender
from rhapsody_parsl.pilot.reservations import Reservations
from rhapsody_parsl.wire.messages import Task

__all__ = ("Fitting",)


class Fitting:
    """Fits runs to their next tasks, whose memory differs by an eighth at most.

    A run with one task holds the memory that this asks for. One with several short ones holds the most that a task of
    their lane asks for; where a task turns out to be long, all behind it are asked back and it is `alone`.

    Args:
        backlog: Who waits.
        lender: Whose leases.
        reservations: Who has nodes kept free.
    """

    def __init__(self, backlog: Backlog, lender: Lender, reservations: Reservations) -> None:
        self._backlog, self._lender, self._reservations = backlog, lender, reservations

    def take(self, active: ActiveRun, count: int) -> list[Task]:
        """Take for a run what it can be given of the first tasks of its lane.

        Args:
            active: The run.
            count: How many at most.

        Returns:
            The tasks; none when its node has not the memory, or when the first had better go elsewhere.
        """
        lane = active.lane
        if lane.varied and count:
            count = self._suit(active, count)
        return self._take_near(active, count) if lane.scattered else lane.take(count)

    def refit(self, active: ActiveRun, lane: Lane) -> bool:
        """Make a run's lease hold what each task of another lane asks for; return whether its node has so much."""
        active.ample = False
        return self._refit(active, lane.most, lane)

    def alone(self, active: ActiveRun) -> bool:
        """A run has one task left, that takes long: its lease is made what this asks for. Return whether it changed."""
        active.ample = False
        task = active.first
        return task is not None and self._refit(active, self._backlog.spec_of(task).resources.memory, active.lane)

    def judge(self, active: ActiveRun, error: MemoryExceeded) -> MemoryExceeded:
        """Return the error of a run's task by the memory that this asked for, whatever the lease held for others."""
        if not active.lane.varied or (first := active.first) is None:
            return error
        own = self._backlog.spec_of(first).resources.memory
        return MemoryExceeded(own, *error.args[1:])

    def _take_near(self, active: ActiveRun, count: int) -> list[Task]:
        """Take the first tasks up to one that had better go elsewhere; the others have their place here from now on."""
        lane, node = active.lane, active.run.placed[0].node.name
        tasks: list[Task] = []
        while len(tasks) < count and (first := lane.first) is not None:
            near = self._backlog.spec_of(first).policy.near
            home = self._lender.home(near) if near else ""
            if home not in ("", node) and (tasks or active.has):
                break
            if near:
                self._lender.note_place(near, node)
            tasks += lane.take(1)
        return tasks

    def _suit(self, active: ActiveRun, count: int) -> int:
        """Make the lease hold so many tasks, or one; return how many it holds."""
        lane = active.lane
        several = count + active.has > 1
        if several and self._refit(active, lane.most, lane):
            active.ample = True
            return count
        if active.has or lane.first is None:
            return 0
        active.ample = False
        return int(self._refit(active, self._backlog.spec_of(lane.first).resources.memory, lane))

    def _refit(self, active: ActiveRun, memory: float, lane: Lane) -> bool:
        share = active.run.placed[0].share
        held = len(share.cores)
        cores = held if active.lent else lane.spec.resources.cores
        if cores == held and abs(memory - share.memory) < LEAST:
            return True
        if memory > share.memory and self._reservations.keeps(share.node, lane.shape):
            return False
        return self._lender.refit(active, cores, memory)
