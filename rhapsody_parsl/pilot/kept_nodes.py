"""Nodes set apart from the open ones for somebody who waits for room: the first task of a shape, or a service."""

from rhapsody_parsl.pilot.account import Account
from rhapsody_parsl.pilot.demand import Demand
from rhapsody_parsl.pilot.ledger import Ledger
from rhapsody_parsl.pilot.pool import Pool

__all__ = ("KeptNodes",)


class KeptNodes:
    """What is kept free for one who waits.

    Args:
        demand: What is asked.
        pool: The nodes; none where there are not enough besides those of older claims.

    Attributes:
        demand: See above.
        pool: See above.
        room: Those nodes that can hold a part now.
        busy: Nodes that could not when they were last seen, the emptiest first.
    """

    __slots__ = ("busy", "demand", "pool", "room")

    def __init__(self, demand: Demand, pool: Pool) -> None:
        self.demand, self.pool = demand, pool
        self.busy = [account for account in pool if not demand.holds(account)]
        self.room = pool.room(demand)
        self.room.index()

    def improve(self, ledger: Ledger) -> None:
        """Take open nodes that can hold a part now for others that cannot."""
        best = ledger.beside_services().accounts
        for account in list(ledger.freed.values()):
            worst = self._worst()
            if worst is None:
                return
            holds = account.pool is ledger.open and self.demand.holds(account)
            if holds and holds >= self.demand.holds(best[worst.node.name]):
                self.busy.pop()
                ledger.move(account, self.pool)
                ledger.move(worst, ledger.open)

    def _worst(self) -> Account | None:
        """Return a node that cannot hold a part now; None when all can."""
        while self.busy and self.demand.holds(self.busy[-1]):
            self.busy.pop()
        return self.busy[-1] if self.busy else None
