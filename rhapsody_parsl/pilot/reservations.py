"""Who waits for what others hold, and the nodes kept free for those that have waited long enough."""

from collections.abc import Collection

from rhapsody_parsl.pilot import scheduler
from rhapsody_parsl.pilot.backlog import Backlog
from rhapsody_parsl.pilot.lane import ActiveRun, Lane
from rhapsody_parsl.pilot.ledger import Ledger
from rhapsody_parsl.pilot.shape import Shape

__all__ = ("Reservations",)


class Reservations:
    """Those whom the last decision could not serve: whoever still waits for a runtime that is ready.

    Args:
        ledger: The block's.
        backlog: Who waits.
        ready: Names of the runtimes that can take tasks.

    Attributes:
        held: Nodes kept free for those that have waited long enough, and for whom.
    """

    def __init__(self, ledger: Ledger, backlog: Backlog, ready: Collection[str]) -> None:
        self._ledger, self._backlog, self._ready = ledger, backlog, ready
        self.held: dict[str, Shape[Lane]] = {}

    def clear(self) -> None:
        """Begin a new decision."""
        self.held = {}

    def add(self, shape: Shape[Lane], now: float) -> bool:
        """Tasks of a shape find no room; late ones have nodes kept free. Return whether others can still be served."""
        if self._backlog.note_late(shape, now):
            first = shape.lanes.first()
            wants = shape.spec if first is None else self._backlog.wants(first)
            self.held.update(dict.fromkeys(scheduler.reserve(wants, self._ledger, self.held), shape))
        return len(self.held) < len(self._ledger.accounts)

    def allow(self, active: ActiveRun) -> bool:
        """Whether nobody with an older claim waits for what a run holds."""
        if self._backlog.is_alone(active.lane) or (order := active.lane.order) is None:
            return True
        names = [placed.node.name for placed in active.run.placed]
        holders = {shape for name in names if (shape := self.held.get(name))}
        if any(claim < order for shape in holders if (claim := shape.order) is not None):
            return False
        free = (len(p.share.cores) + self._ledger.accounts[p.node.name].free_cores for p in active.run.placed)
        return not self._backlog.waits_before(order, max(free, default=-1), self._ready)
