"""Replicas in a simulated block that work, lend what they hold while they sleep, wake or move, and leave."""

import random
from collections.abc import Callable

from rhapsody_parsl.annotations.task_spec import TaskSpec
from rhapsody_parsl.in_block.context import Loan
from testing.simulation import Simulation

__all__ = ("Sleeper",)

_GIVES_UP = 0.2


class Sleeper:
    """One of them; it comes at once.

    Args:
        block: Where it is.
        name: Its own.
        wants: What it holds while it works.
        dice: Says how long it works, sleeps and waits.
        later: Calls something after so many seconds: `(seconds, action)`.
        naps: How often it sleeps.

    Attributes:
        woken: How often it had exactly what it had before.
        moved: How often it had something else.
        over: Whether it has given everything back.
    """

    def __init__(
        self,
        block: Simulation,
        name: str,
        wants: TaskSpec,
        dice: random.Random,
        *,
        later: Callable[[float, Callable[[], None]], None],
        naps: int = 3,
    ) -> None:
        self._block, self._name, self._wants, self._dice, self._later = block, name, wants, dice, later
        self._leases = block.under_way.for_services
        self._naps, self.woken, self.moved, self.over = naps, 0, 0, False
        self._loan: Loan | None = None
        self._withdraw: Callable[[], None] | None = None
        self._leases.ask(name, wants, "", self._work)

    def _work(self, loan: Loan) -> None:
        self._loan = loan
        self._later(0.0, lambda: self._block.hold(self._name, loan.placed))  # once idle workers have left
        self._later(self._dice.choice([0.1, 2.0, 10.0]), self._sleep if self._naps else self._leave)

    def _sleep(self) -> None:
        assert self._loan
        self._naps -= 1
        self._block.hold(self._name, ())
        self._loan = self._leases.rest(self._loan)
        assert not any(part.share.cores or part.share.gpus for part in self._loan.placed)
        self._later(self._dice.choice([0.1, 1.0, 5.0, 20.0]), self._wake)

    def _wake(self) -> None:
        assert self._loan
        if loan := self._leases.restore(self._loan):
            self._granted(loan)
            return
        self._withdraw = self._leases.ask(self._name, self._wants, "", self._granted, resting=self._loan)
        if self._dice.random() < _GIVES_UP:
            self._later(2.0, self._give_up)

    def _granted(self, loan: Loan) -> None:
        assert self._loan
        if loan.lease == self._loan.lease:
            self.woken += 1
        else:
            self.moved += 1
            self._loan.give_back()
        self._withdraw = None
        self._work(loan)

    def _give_up(self) -> None:
        if self._withdraw:
            self._withdraw()
            self._leave()

    def _leave(self) -> None:
        assert self._loan
        self._block.hold(self._name, ())
        self._loan.give_back()
        self._loan, self._withdraw, self.over = None, None, True
