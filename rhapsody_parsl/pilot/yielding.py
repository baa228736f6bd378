"""Which leases of idle replicas are to be given back, so that somebody who waits can start. Pure."""

from collections.abc import Iterable, Sequence

from rhapsody_parsl.annotations.resources import Resources
from rhapsody_parsl.pilot.account import Account
from rhapsody_parsl.pilot.demand import Demand
from rhapsody_parsl.pilot.grouped import dealt
from rhapsody_parsl.pilot.ledger import Lease

__all__ = ("sought",)


def sought(demands: Iterable[Demand], accounts: Sequence[Account], offered: Sequence[Lease]) -> list[Lease]:
    """Return the fewest leases with which the first starts who waits for room; of several, those that come first.

    Who has room by now is not helped: he starts by himself, or waits for something else. Who would find none even with
    all leases is passed over.

    Args:
        demands: Of those who wait, the first claim first.
        accounts: The nodes that they may use.
        offered: The leases, the best to part with first.
    """
    for demand in demands:
        room = _Room(demand, accounts, offered)
        if room.now < demand.needs and (chosen := room.fewest()):
            return chosen
    return []


class _Room:
    """How much of what is asked there is room for, with some leases back.

    Attributes:
        now: With none of them.
    """

    def __init__(self, demand: Demand, accounts: Sequence[Account], offered: Sequence[Lease]) -> None:
        self._demand, self._offered = demand, list(offered)
        self._touched = {share.node for lease in offered for share in lease.shares}
        self._accounts = {account.node.name: account for account in accounts}
        self._elsewhere = sum(demand.holds(a) for a in accounts if a.node.name not in self._touched)
        self.now = self._with([])

    def fewest(self) -> list[Lease]:
        """Return the leases that are enough, [] when all are not; those come last that are left out first."""
        chosen = self._offered
        if self._with(chosen) < self._demand.needs:
            return []
        for lease in reversed(self._offered):
            others = [other for other in chosen if other is not lease]
            if self._with(others) >= self._demand.needs:
                chosen = others
        return chosen

    def _with(self, back: Sequence[Lease]) -> int:
        if resources := self._demand.mixed:
            return self._demand.needs if self._finds_room(resources, back) else 0
        return self._elsewhere + sum(self._held(name, back) for name in self._touched if name in self._accounts)

    def _finds_room(self, resources: Resources, back: Sequence[Lease]) -> bool:
        """Whether a gang does of which only some ranks have GPUs: their order decides, and not a sum over nodes."""
        accounts = sorted(self._accounts.values(), key=lambda account: account.position)
        after = [self._after(one.node.name, back) if one.node.name in self._touched else one for one in accounts]
        usable = [account for account in after if self._demand.holds(account)]
        each = 0 if self._demand.per_rank else resources.ranks_per_node
        return bool(dealt(resources, usable, each or 1, each or resources.num_ranks))

    def _after(self, name: str, back: Sequence[Lease]) -> Account:
        parts = [
            part for lease in back for part in zip(lease.shares, lease.gpu_amounts, strict=True) if part[0].node == name
        ]
        return self._accounts[name].after(parts)

    def _held(self, name: str, back: Sequence[Lease]) -> int:
        return self._demand.holds(self._after(name, back))
