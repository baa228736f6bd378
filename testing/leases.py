"""Leases for services in tests: what is lent, a test's function says; what is waited for, a test grants."""

from collections.abc import Callable, Collection, Sequence

from rhapsody_parsl.annotations.task_spec import TaskSpec
from rhapsody_parsl.in_block.context import Loan, Placed

__all__ = ("FakeLeases",)


class FakeLeases:
    """Lends as `block.context.Leases` has it.

    Args:
        lend: Returns the parts of a lease, or None: `(borrower, wants, key)`.
        most: How many a block could ever lend.

    Attributes:
        wishes: Who waits, and what gives it a lease.
        returned: Who has given a lease back.
        seekers: How many leases those want back who wait for some.
        resting: Numbers of those whose cores and GPUs others have.
        taken: Whether others still have them.
        coming: How many requests of tasks wait for their turn.
    """

    def __init__(
        self, lend: Callable[[str, TaskSpec, str], tuple[Placed, ...] | None] = lambda *_: (), most: int = 1000
    ) -> None:
        self._lend, self._most = lend, most
        self.wishes: dict[str, Callable[[Loan], None]] = {}
        self.returned: list[str] = []
        self.seekers = 0
        self.resting: list[int] = []
        self.taken, self.coming = False, 0
        self._count = 0

    def lend(self, borrower: str, wants: TaskSpec, key: str) -> Loan | None:
        """Lend now, or not."""
        placed = self._lend(borrower, wants, key)
        return None if placed is None else self.loan(borrower, placed)

    def loan(self, borrower: str, placed: tuple[Placed, ...] = ()) -> Loan:
        """Return a lease."""
        self._count += 1
        return Loan(placed, lambda: self.returned.append(borrower), self._count)

    def ask(
        self, borrower: str, wants: TaskSpec, key: str, granted: Callable[[Loan], None], *, resting: Loan | None = None
    ) -> Callable[[], None]:
        """Note who waits."""
        self.wishes[borrower] = granted
        return lambda: self._withdraw(borrower)

    def lack(self, wants: TaskSpec, count: int) -> str:
        """Say whether there are ever as many."""
        return "" if count <= self._most else f"it has room for {self._most} of them at most"

    def requests(self, _service: str) -> int:
        """Return what the test says."""
        return self.coming

    def rest(self, loan: Loan) -> Loan:
        """Note who lends on."""
        self.resting.append(loan.lease)
        return loan

    def restore(self, resting: Loan) -> Loan | None:
        """Lend again, unless others have it."""
        if self.taken:
            return None
        self.resting.remove(resting.lease)
        return resting

    def sought(self, loans: Sequence[Loan], now: float, rest: Collection[int] = ()) -> list[Loan]:
        """Ask for as many back as somebody seeks."""
        return list(loans[: self.seekers])

    def _withdraw(self, borrower: str) -> None:
        self.wishes.pop(borrower, None)
