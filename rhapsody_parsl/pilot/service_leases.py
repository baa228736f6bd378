"""What services borrow: at the block's start for its life, later for as long as they need it, or when there is room."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from rhapsody_parsl.annotations.task_spec import TaskSpec
from rhapsody_parsl.in_block.context import Loan, Run
from rhapsody_parsl.pilot import scheduler
from rhapsody_parsl.pilot.demand import Demand
from rhapsody_parsl.pilot.instructions import Grant, Instruction
from rhapsody_parsl.pilot.kept_nodes import KeptNodes
from rhapsody_parsl.pilot.ledger import Lease, Ledger
from rhapsody_parsl.pilot.lender import Lender
from rhapsody_parsl.pilot.pool import Pool
from rhapsody_parsl.pilot.yielding import sought

__all__ = ("ServiceLeases",)


class _Wish:
    """Somebody waits for a lease; `kept` are the nodes kept free for that, once somebody has looked."""

    def __init__(self, borrower: str, wants: TaskSpec, key: str, granted: Callable[[Loan], None]) -> None:
        self.borrower, self.wants, self.key, self.granted = borrower, wants, key, granted
        self.demand = Demand(wants)
        self.kept: KeptNodes | None = None


class ServiceLeases:
    """Lends to services, as `block.context.Leases` has it.

    Who waits comes before the tasks that wait: the user has asked for it, and its like are few. Nodes are kept free for
    it at once, as they are for tasks that have waited long enough. Whenever others wait, or services hold other nodes,
    these are chosen anew.

    Args:
        ledger: The block's.
        lender: Lends what it has.
        end_idle: Makes free what runs without a task keep.
        out: Where instructions go.

    Attributes:
        lasting: Whether what is lent is out of the tasks' reach for good: while the block has not said what it holds.
        on_change: Called when waiting tasks may find more room than before, or less.
        waiting: Returns what tasks ask that have waited long enough at a time, the first claim first.
    """

    def __init__(
        self, ledger: Ledger, lender: Lender, end_idle: Callable[[], None], out: Callable[[Instruction], None]
    ) -> None:
        self._ledger, self._lender, self._end_idle, self._out = ledger, lender, end_idle, out
        self._waiting: list[_Wish] = []
        self.lasting = True
        self._changed = False  # whether others wait than when nodes were last chosen
        self._best: Ledger | None = None  # the block beside services, as it was then; None when nobody waited
        self.on_change: Callable[[], None] = lambda: None
        self.waiting: Callable[[float], Iterable[Demand]] = lambda now: ()

    def lend(self, borrower: str, wants: TaskSpec, key: str = "") -> Loan | None:
        """Lend something now, or return None."""
        return self._lend(_Wish(borrower, wants, key, lambda _: None), self._waiting)

    def ask(self, borrower: str, wants: TaskSpec, key: str, granted: Callable[[Loan], None]) -> Callable[[], None]:
        """Lend something as soon as there is room; return what withdraws the wish."""
        wish = _Wish(borrower, wants, key, granted)
        self._waiting.append(wish)
        self._changed = True
        self.on_change()
        return partial(self._withdraw, wish)

    def lack(self, wants: TaskSpec, count: int) -> str:
        """Return why the block can never lend so many at once, beside what is lent for its life; "" when it can."""
        best, leases = self._ledger.at_best(), list[Lease]()
        while len(leases) < count and (placing := scheduler.place(wants, best)):
            if lease := best.acquire("", placing):
                leases.append(lease)
        for lease in leases:
            best.release(lease)
        if len(leases) == count:
            return ""
        return f"it has room for {len(leases)} of them at most, for {scheduler.why_never(wants, self._ledger)}"

    def sought(self, loans: Sequence[Loan], now: float) -> list[Loan]:
        """Return the fewest of these with which somebody starts who has waited long enough: services before tasks."""
        closed = _pools(self._waiting)
        accounts = list(self._ledger.accounts.values())
        offered = [self._ledger.lease(loan.lease) for loan in loans]
        chosen = sought((wish.demand for wish in self._waiting), accounts, offered) or sought(
            self.waiting(now), [account for account in accounts if account.pool not in closed], offered
        )
        numbers = {lease.id for lease in chosen}
        return [loan for loan in loans if loan.lease in numbers]

    def serve(self, give_way: Callable[[], None]) -> None:
        """Lend to those who wait, in order; nodes are kept free for those for whom there is no room.

        Args:
            give_way: Opens the nodes that are kept free for tasks.
        """
        self._choose_anew(give_way)
        while self._grant():
            self._choose_anew(give_way)

    def wants(self, run: Run) -> bool:
        """Whether somebody waits for nodes of a run."""
        if not self._waiting:
            return False
        pools = _pools(self._waiting)
        return any(self._ledger.accounts[placed.node.name].pool in pools for placed in run.placed)

    @property
    def wanted(self) -> bool:
        """Whether somebody waits, or waited until a moment ago."""
        return self._changed or bool(self._waiting)

    def _lend(self, wish: _Wish, before: Iterable[_Wish]) -> Loan | None:
        """Lend open nodes; if these are not enough, also those that are kept, but not for somebody before."""
        self._end_idle()
        closed = _pools(before)
        kept = [pool for pool in self._ledger.kept if pool not in closed]
        for pools in ([self._ledger.open], [self._ledger.open, *kept])[: 1 + bool(kept)]:
            rooms = [pool.room(wish.demand) for pool in pools]
            lent = self._lender.lend_to_service(wish.borrower, wish.wants, wish.key, lasting=self.lasting, rooms=rooms)
            if lent:
                return Loan(lent[1], partial(self._take_back, lent[0]), lent[0].id)
        return None

    def _grant(self) -> bool:
        """Lend to all for whom there is room; return whether there was one."""
        before: list[_Wish] = []
        for wish in list(self._waiting):
            if loan := self._lend(wish, before):
                self._remove(wish)
                self._out(Grant(wish.granted, loan))
                continue
            before.append(wish)
            if wish.kept is None:
                chosen = scheduler.reserve(wish.demand, self._ledger)
                wish.kept = KeptNodes(wish.demand, self._ledger.keep(chosen))
            wish.kept.improve(self._ledger)
        return self._changed

    def _choose_anew(self, give_way: Callable[[], None]) -> None:
        """Keep no nodes free where others may be the right ones by now."""
        best = self._ledger.beside_services()
        if self._changed or best is not self._best:
            self._best, self._changed = best if self._waiting else None, False
            give_way()
            for wish in self._waiting:
                self._keep_none(wish)

    def _keep_none(self, wish: _Wish) -> None:
        if wish.kept is not None:
            self._ledger.open_up(wish.kept.pool)
            wish.kept = None

    def _remove(self, wish: _Wish) -> None:
        """Somebody waits no more."""
        self._waiting.remove(wish)
        self._keep_none(wish)
        self._changed = True

    def _withdraw(self, wish: _Wish) -> None:
        if wish in self._waiting:
            self._remove(wish)
            self.on_change()

    def _take_back(self, lease: Lease) -> None:
        self._lender.take_back_from_service(lease)
        self.on_change()


def _pools(wishes: Iterable[_Wish]) -> list[Pool]:
    return [wish.kept.pool for wish in wishes if wish.kept is not None]
