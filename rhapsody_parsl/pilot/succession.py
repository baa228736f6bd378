"""What a run does when it has no task left: the first claim to what it holds may be one that it can go on with.

A worker that goes on keeps its place: nothing is returned, placed and lent again. Its lease is made to suit.
"""

import math
from collections.abc import Collection

from rhapsody_parsl.annotations.resources import Part
from rhapsody_parsl.pilot.backlog import Backlog
from rhapsody_parsl.pilot.fitting import Fitting
from rhapsody_parsl.pilot.lane import ActiveRun, Lane
from rhapsody_parsl.pilot.runs import Runs
from rhapsody_parsl.wire.leases import Share

__all__ = ("NOTHING", "Succession")

NOTHING = Part(0)


class Succession:
    """Chooses with which tasks a run goes on.

    Args:
        runs: The block's.
        backlog: Who waits.
        fitting: Makes leases suit their tasks.
        ready: Names of the runtimes that can take tasks.
    """

    def __init__(self, runs: Runs, backlog: Backlog, fitting: Fitting, ready: Collection[str]) -> None:
        self._runs, self._backlog, self._fitting, self._ready = runs, backlog, fitting, ready

    def decides(self, active: ActiveRun) -> bool:
        """Whether nothing but claims decides about a run: it has no task left, and its node is kept for nobody."""
        lease = active.lease
        if active.lane.kin is None or active.has or lease is None or self._runs.for_services.wants(active.run):
            return False
        account = self._runs.ledger.accounts[lease.shares[0].node]
        return account.pool is self._runs.ledger.open and not account.away

    @property
    def is_local(self) -> bool:
        """Whether what is freed of a node matters to nobody but those who have room on this node alone.

        Who needs several nodes may have waited for this one, and a service comes first.
        """
        return not (self._backlog.gangs_wait or self._runs.for_services.wanted)

    def choose(self, active: ActiveRun) -> Lane | None:
        """Return the lane with the first claim to what a run holds; None when that is nobody, or none of its kin."""
        own, lease = active.lane, active.lease
        order = own.order
        if lease is None:
            return own
        share = lease.shares[0]
        gpus = lease.gpu_amounts[0]
        back = Part(len(share.cores), sum(gpus) if gpus else 0.0, 0.0, share.memory)
        account = self._runs.ledger.accounts[share.node]
        first = self._backlog.first_on(account, back, self._ready, math.inf if order is None else order)
        if first is None:
            return None if order is None else own
        if first.kin is not own.kin or first.scattered or first.spec.policy.near:
            return None
        return first if len(share.cores) == first.spec.resources.cores or self.is_local else None

    def take_over(self, active: ActiveRun, lane: Lane) -> bool:
        """Have a run go on with the tasks of a lane; return whether its node has what they ask for."""
        if lane is active.lane:
            return True
        if not lane.varied and not self._fitting.refit(active, lane):
            return False
        self._runs.change_lane(active, lane)
        if len(lane) > 1:
            self._backlog.behind[lane] = None
        return True

    def leaves_room(self, active: ActiveRun, before: Share) -> bool:
        """Whether a run holds less than before, and somebody who waits has room on its node now."""
        now = active.run.placed[0].share
        if now.memory >= before.memory and len(now.cores) >= len(before.cores):
            return False
        return self._backlog.first_on(self._runs.ledger.accounts[now.node], NOTHING, self._ready) is not None
