"""What services borrow: at the block's start for its life, later for as long as they need it, or when there is room."""

from collections.abc import Callable
from functools import partial

from rhapsody_parsl.annotations.task_spec import TaskSpec
from rhapsody_parsl.block.context import Loan, Run
from rhapsody_parsl.pilot import scheduler
from rhapsody_parsl.pilot.instructions import Grant, Instruction
from rhapsody_parsl.pilot.ledger import Lease, Ledger
from rhapsody_parsl.pilot.lender import Lender

__all__ = ("ServiceLeases",)


class _Wish:
    """Somebody waits for a lease."""

    def __init__(self, borrower: str, wants: TaskSpec, key: str, granted: Callable[[Loan], None]) -> None:
        self.borrower, self.wants, self.key, self.granted = borrower, wants, key, granted


class ServiceLeases:
    """Lends to services, as `block.context.Leases` has it.

    Who waits comes before the tasks that wait: the user has asked for it, and its like are few.

    Args:
        ledger: The block's.
        lender: Lends what it has.
        end_idle: Makes free what runs without a task keep.
        out: Where instructions go.

    Attributes:
        lasting: Whether what is lent is out of the tasks' reach for good: while the block has not said what it holds.
        closed: Nodes that are kept free for those who wait.
        on_change: Called when waiting tasks may find more room than before, or less.
    """

    def __init__(
        self, ledger: Ledger, lender: Lender, end_idle: Callable[[], None], out: Callable[[Instruction], None]
    ) -> None:
        self._ledger, self._lender, self._end_idle, self._out = ledger, lender, end_idle, out
        self._waiting: list[_Wish] = []
        self.lasting = True
        self.closed: set[str] = set()
        self.on_change: Callable[[], None] = lambda: None

    def lend(self, borrower: str, wants: TaskSpec, key: str = "") -> Loan | None:
        """Lend something now, or return None."""
        self._end_idle()
        lent = self._lender.lend_to_service(borrower, wants, key, lasting=self.lasting, closed=self.closed)
        return Loan(lent[1], partial(self._take_back, lent[0])) if lent else None

    def ask(self, borrower: str, wants: TaskSpec, key: str, granted: Callable[[Loan], None]) -> Callable[[], None]:
        """Lend something as soon as there is room; return what withdraws the wish."""
        wish = _Wish(borrower, wants, key, granted)
        self._waiting.append(wish)
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

    def serve(self) -> None:
        """Lend to those who wait, in order; nodes for whom there is no room are kept free."""
        self.closed = set()
        for wish in list(self._waiting):
            if loan := self.lend(wish.borrower, wish.wants, wish.key):
                self._waiting.remove(wish)
                self._out(Grant(wish.granted, loan))
            else:
                self.closed |= scheduler.reserve(wish.wants, self._ledger, self.closed)

    def wants(self, run: Run) -> bool:
        """Whether somebody waits for nodes of a run."""
        return bool(self.closed) and any(placed.node.name in self.closed for placed in run.placed)

    @property
    def wanted(self) -> bool:
        """Whether somebody waits."""
        return bool(self._waiting)

    def _withdraw(self, wish: _Wish) -> None:
        if wish in self._waiting:
            self._waiting.remove(wish)
            self.closed = self.closed if self._waiting else set()
            self.on_change()

    def _take_back(self, lease: Lease) -> None:
        self._lender.take_back_from_service(lease)
        self.on_change()
