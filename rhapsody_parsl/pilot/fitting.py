"""What a run takes of a lane whose tasks differ in memory or in what they are `near`, and its lease made to suit."""

from rhapsody_parsl.pilot.backlog import Backlog
from rhapsody_parsl.pilot.claims import Claims
from rhapsody_parsl.pilot.lane import ActiveRun
from rhapsody_parsl.pilot.ledger import Ledger
from rhapsody_parsl.pilot.lender import Lender
from rhapsody_parsl.wire.messages import Task

__all__ = ("Fitting",)


class Fitting:
    """Fits runs to their next tasks, whose memory differs by an eighth at most.

    A run with one task holds the memory that this asks for. One with several short ones holds the most that a task of
    their lane asks for; where a task turns out to be long, all behind it are asked back and it is `alone`.

    Args:
        ledger: The block's.
        backlog: Who waits.
        lender: Whose leases.
        claims: Who has nodes kept free.
    """

    def __init__(self, ledger: Ledger, backlog: Backlog, lender: Lender, claims: Claims) -> None:
        self._ledger, self._backlog, self._lender, self._claims = ledger, backlog, lender, claims

    def take(self, active: ActiveRun, count: int) -> list[Task]:
        """Take for a run what it can be given of the first tasks of its lane.

        Args:
            active: The run.
            count: How many at most.

        Returns:
            The tasks; none when its node has not the memory, or when the first had better go elsewhere.
        """
        lane = active.lane
        if not count or not self._may_have_first(active):
            return []
        if lane.varied:
            count = self._suit(active, count)
        if not lane.scattered or not count:
            return lane.take(count)
        node = active.run.placed[0].node.name
        tasks = lane.take_while(count, lambda task: self._home_of(task) in ("", node))
        for task in tasks:
            if near := self._backlog.spec_of(task).policy.near:
                self._lender.settle(near, node)
        return tasks

    def alone(self, active: ActiveRun) -> bool:
        """A run has one task left, that takes long: its lease is made what this asks for. Return whether it changed."""
        active.ample = False
        (task,) = active.inflight.values()
        return self._refit(active, self._backlog.spec_of(task).resources.memory)

    def _may_have_first(self, active: ActiveRun) -> bool:
        """Whether the first task of the lane need not go elsewhere: it has no place, or none with room; or this is it."""
        lane, node = active.lane, active.run.placed[0].node.name
        if not lane.scattered or lane.first is None or (home := self._home_of(lane.first)) in ("", node):
            return True
        account = self._ledger.accounts.get(home)
        return not active.inflight and (account is None or account.free_cores < lane.spec.resources.cores)

    def _home_of(self, task: Task) -> str:
        near = self._backlog.spec_of(task).policy.near
        return self._lender.home(near) if near else ""

    def _suit(self, active: ActiveRun, count: int) -> int:
        """Make the lease hold so many tasks, or one; return how many it holds."""
        lane = active.lane
        several = count + len(active.inflight) > 1
        if several and self._refit(active, lane.most):
            active.ample = True
            return count
        if active.inflight or lane.first is None:
            return 0
        active.ample = False
        return int(self._refit(active, self._backlog.spec_of(lane.first).resources.memory))

    def _refit(self, active: ActiveRun, memory: float) -> bool:
        share = active.run.placed[0].share
        if share.memory == memory:
            return True
        if memory > share.memory and self._claims.held.get(share.node, active.lane.shape) is not active.lane.shape:
            return False
        return self._lender.refit(active, memory)
