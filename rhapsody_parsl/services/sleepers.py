"""Replicas that sleep: their cores and GPUs are lent to others, their processes stay, and waking takes seconds.

A replica that is lent goes this way: (1) it is given nothing more, (2) it finishes what it has begun, (3) its engine
sleeps, and its GPUs are seen free, (4) its lease rests: others have its cores and GPUs, its memory stays its own. It
wakes with exactly the GPUs that it had, for they cannot be exchanged under an engine. Where others have these and room
is elsewhere, it is stopped and started there. What fails on this way is stopped, as a replica that does not sleep.
"""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Protocol

from rhapsody_parsl.hosts.background import spawn
from rhapsody_parsl.in_block.context import Leases, Loan
from rhapsody_parsl.services.replica import Replica

__all__ = ("Sleepers",)


class ReplicaSet(Protocol):
    """The replicas of a service, as those that sleep see them."""

    there: list[Replica]

    def rest(self, replica: Replica, loan: Loan) -> None:
        """A replica's engine sleeps, and it holds no more than this."""

    def end(self, replica: Replica) -> None:
        """Have a replica's processes stop now."""

    def ask(self, replica: Replica, granted: Callable[[Loan], None], *, resting: Loan | None) -> None:
        """Have a replica wait for a lease."""

    def move(self, replica: Replica, loan: Loan | None) -> None:
        """Have a replica's processes stop, and start with another lease, or with one that it has to wait for."""


class Sleepers:
    """Those of one service.

    Args:
        seconds: How long one sleeps at most; 0 when none does.
        leases: Where they borrow.
        replicas: All of the service.
    """

    def __init__(self, seconds: float, leases: Leases, replicas: ReplicaSet) -> None:
        self._seconds, self._leases, self._replicas = seconds, leases, replicas
        self._lent: set[Replica] = set()  # those that are to sleep when they have nothing left to do
        self._called: set[Replica] = set()  # those that wait for their lease
        self._turns: dict[Replica, asyncio.Task[None]] = {}

    @property
    def able(self) -> bool:
        """Whether replicas sleep when they are lent."""
        return self._seconds > 0

    @property
    def _asleep(self) -> list[Replica]:
        return [replica for replica in self._replicas.there if replica.state == "asleep"]

    def lend(self, replica: Replica) -> None:
        """Have others use what a replica holds, once it has finished what it has begun."""
        if self.able:
            self._lent.add(replica)
        replica.leave()

    def part(self, replica: Replica) -> None:
        """A replica that leaves has nothing left to do."""
        if replica in self._turns or replica.state == "asleep":
            return
        if replica in self._called:  # it died while it waited
            self._called.remove(replica)
            replica.leaving = False
            self._replicas.move(replica, None)
        elif replica in self._lent:
            self._lent.remove(replica)
            self._turn(replica, self._sleep(replica))
        else:
            self._replicas.end(replica)

    def wake(self) -> bool:
        """Wake a replica whose cores and GPUs are free now, the last one first; return whether there is one."""
        for replica in reversed(self._asleep):
            if replica.loan and (loan := self._leases.restore(replica.loan)):
                self._wake(replica, loan)
                return True
        return False

    def call(self) -> bool:
        """Have a replica wake when what it held is free, or start where there is room; return whether one sleeps."""
        if not self._asleep:
            return False
        replica = self._asleep[-1]
        self._called.add(replica)
        replica.leaving = False
        self._replicas.ask(replica, partial(self._granted, replica), resting=replica.loan)
        return True

    def keep(self, most: int, now: float) -> None:
        """Stop those that have slept too long, and those that are more than there may be.

        Args:
            most: So many.
            now: The time.
        """
        asleep = self._asleep
        for number, replica in enumerate(asleep):
            if len(asleep) - number > most or now - replica.worked_at >= self._seconds:
                self._replicas.end(replica)

    def forget(self, replica: Replica) -> None:
        """A replica stops."""
        self._lent.discard(replica)
        self._called.discard(replica)

    async def stop(self) -> None:
        """Let nothing more follow."""
        turns = list(self._turns.values())
        for turn in turns:
            turn.cancel()
        await asyncio.gather(*turns, return_exceptions=True)

    def _granted(self, replica: Replica, loan: Loan) -> None:
        self._called.discard(replica)
        if replica.loan and loan.lease == replica.loan.lease:
            self._wake(replica, loan)
        else:
            self._replicas.move(replica, loan)

    def _wake(self, replica: Replica, loan: Loan) -> None:
        replica.take_up(loan)
        self._turn(replica, self._be_awake(replica))

    def _turn(self, replica: Replica, turn: Coroutine[Any, Any, None]) -> None:
        self._turns[replica] = task = spawn(turn, f"turn {replica.name}")
        task.add_done_callback(lambda _: self._turns.pop(replica, None))

    async def _sleep(self, replica: Replica) -> None:
        if replica.loan and await replica.turn(asleep=True) and await replica.gpus_free():
            self._replicas.rest(replica, self._leases.rest(replica.loan))
        else:
            self._replicas.end(replica)

    async def _be_awake(self, replica: Replica) -> None:
        if await replica.turn(asleep=False):
            replica.be_awake()
