"""Who waits for what others hold, and the nodes kept free for those that have waited long enough."""

from rhapsody_parsl.pilot import scheduler
from rhapsody_parsl.pilot.lane import ActiveRun, Lane
from rhapsody_parsl.pilot.ledger import Ledger

__all__ = ("Claims",)

_PATIENCE = 3.0


class Claims:
    """The lanes that the last decision could not serve, in its order.

    Args:
        ledger: The block's.

    Attributes:
        held: Nodes kept free for them.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._blocked: list[tuple[Lane, set[str]]] = []
        self.held: set[str] = set()

    def clear(self) -> None:
        """Begin a new decision."""
        self._blocked, self.held = [], set()

    def add(self, lane: Lane, now: float) -> None:
        """Tasks of a lane find no room; late ones have nodes kept free."""
        late = lane.waited(now) > _PATIENCE
        mine = scheduler.reserve(lane.spec, self._ledger, self.held) if late else set()
        self.held |= mine
        self._blocked.append((lane, mine))

    def allow(self, active: ActiveRun) -> bool:
        """Whether nobody with an older claim waits for what a run holds."""
        order = active.lane.order
        for lane, held in self._blocked:
            if lane is active.lane or not len(lane) or lane.order >= order:
                continue
            placed = active.run.placed
            if any(p.node.name in held for p in placed) or scheduler.would_help(placed, lane.spec, self._ledger):
                return False
        return True

    def next_late(self, now: float) -> list[float]:
        """Return in how many seconds each that is not yet late will be; once it is, only ends help."""
        waits = (lane.waited(now) for lane, _ in self._blocked if len(lane))
        return [_PATIENCE + 0.01 - waited for waited in waits if waited <= _PATIENCE]
