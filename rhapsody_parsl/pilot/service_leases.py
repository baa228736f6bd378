"""What services borrow: at the block's start for its life, later for as long as they need it, or when there is room."""

from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial

import msgspec

from rhapsody_parsl.annotations.task_spec import TaskSpec
from rhapsody_parsl.in_block.context import Loan, Placed, Run
from rhapsody_parsl.pilot import scheduler
from rhapsody_parsl.pilot.account import without_memory
from rhapsody_parsl.pilot.demand import Demand
from rhapsody_parsl.pilot.instructions import Grant, Instruction
from rhapsody_parsl.pilot.kept_nodes import KeptNodes
from rhapsody_parsl.pilot.ledger import Lease, Ledger
from rhapsody_parsl.pilot.lender import Lender
from rhapsody_parsl.pilot.pool import Pool
from rhapsody_parsl.pilot.yielding import sought

__all__ = ("ServiceLeases",)


class _Wish:
    """Somebody waits for a lease, or to have back what it lent on while it rests.

    `kept` are the nodes kept free for that, once somebody has looked.
    """

    def __init__(
        self,
        borrower: str,
        wants: TaskSpec,
        key: str,
        granted: Callable[[Loan], None],
        *,
        resting: Loan | None = None,
    ) -> None:
        self.borrower, self.wants, self.key, self.granted, self.resting = borrower, wants, key, granted, resting
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
        requests: Returns how many requests for a service wait.
    """

    def __init__(
        self, ledger: Ledger, lender: Lender, end_idle: Callable[[], None], out: Callable[[Instruction], None]
    ) -> None:
        self._ledger, self._lender, self._end_idle, self._out = ledger, lender, end_idle, out
        self._waiting: list[_Wish] = []
        self._resting: dict[int, Lease] = {}  # what leases that rest held before, by their numbers
        self.lasting = True
        self._changed = False  # whether others wait than when nodes were last chosen
        self._best: Ledger | None = None  # the block beside services, as it was then; None when nobody waited
        self.on_change: Callable[[], None] = lambda: None
        self.waiting: Callable[[float], Iterable[Demand]] = lambda now: ()
        self.requests: Callable[[str], int] = lambda service: 0

    def lend(self, borrower: str, wants: TaskSpec, key: str = "") -> Loan | None:
        """Lend something now, or return None."""
        wish = _Wish(borrower, wants, key, lambda _: None)
        lent = self._lend(wish, self._waiting)
        if lent is None and self.lasting:  # hosts that are late are counted on, where those that are there do not do
            with self._ledger.with_late():
                lent = self._lend(wish, self._waiting)
        if lent:
            self.on_change()  # what kept a lease without a task is told to stop before the loan is used
        return lent

    def ask(
        self, borrower: str, wants: TaskSpec, key: str, granted: Callable[[Loan], None], *, resting: Loan | None = None
    ) -> Callable[[], None]:
        """Lend something as soon as there is room, what rests if that is free first; return what withdraws the wish."""
        wish = _Wish(borrower, wants, key, granted, resting=resting)
        self._waiting.append(wish)
        self._changed = True
        self.on_change()
        return partial(self._withdraw, wish)

    def rest(self, loan: Loan) -> Loan:
        """Have others use what a loan holds but its memory."""
        full = self._ledger.lease(loan.lease)
        resting = self._loan(*self._lender.rest_for_service(full))
        self._resting[full.id] = full
        self.on_change()
        return resting

    def restore(self, resting: Loan) -> Loan | None:
        """Return a loan that rests as it was, or None while others have a part of it, or wait for its node."""
        restored = self._restore(resting, self._waiting)
        if restored:
            self.on_change()  # what kept a lease without a task is told to stop before the loan is used
        return restored

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

    def sought(self, loans: Sequence[Loan], now: float, rest: Collection[int] = ()) -> list[Loan]:
        """Return the fewest of these with which somebody starts who has waited long enough: services before tasks."""
        closed = _pools(self._waiting)
        accounts = list(self._ledger.accounts.values())
        leases = [self._ledger.lease(loan.lease) for loan in loans]
        offered = [_keeping_memory(lease) if lease.id in rest else lease for lease in leases]
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
                return self._loan(*lent)
        return None

    def _loan(self, lease: Lease, placed: tuple[Placed, ...]) -> Loan:
        return Loan(placed, partial(self._take_back, lease.id), lease.id)

    def _restore(self, resting: Loan, before: Iterable[_Wish]) -> Loan | None:
        """Restore what rests, unless its nodes are kept for somebody before."""
        closed = _pools(before)
        if any(self._ledger.accounts[part.node.name].pool in closed for part in resting.placed):
            return None
        self._end_idle()
        restored = self._lender.restore_for_service(self._ledger.lease(resting.lease), self._resting[resting.lease])
        if restored is None:
            return None
        del self._resting[resting.lease]
        return self._loan(*restored)

    def _grant(self) -> bool:
        """Lend to all for whom there is room; return whether there was one."""
        before: list[_Wish] = []
        for wish in list(self._waiting):
            if loan := (wish.resting and self._restore(wish.resting, before)) or self._lend(wish, before):
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

    def _take_back(self, number: int) -> None:
        """Take back what a lease holds by now: it may rest."""
        self._lender.take_back_from_service(self._ledger.lease(number))
        self._resting.pop(number, None)
        self.on_change()


def _keeping_memory(lease: Lease) -> Lease:
    return msgspec.structs.replace(lease, shares=tuple(map(without_memory, lease.shares)))


def _pools(wishes: Iterable[_Wish]) -> list[Pool]:
    return [wish.kept.pool for wish in wishes if wish.kept is not None]
