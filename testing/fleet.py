"""The replicas of one model in a simulated block: they grow, shrink and lend as the real ones decide."""

from collections.abc import Callable

from rhapsody_parsl.annotations.resources import Resources
from rhapsody_parsl.annotations.task_spec import TaskSpec
from rhapsody_parsl.in_block.context import Loan
from rhapsody_parsl.services.scaling import Scaling
from testing.simulation import Simulation

__all__ = ("Fleet",)

LOOK_EVERY = 0.25


class Fleet:
    """A model with one GPU per replica, which answers whatever it is asked within a look.

    Args:
        block: Where it stands.
        least: Replicas at least.
        most: Replicas at most.
        load: Returns how many requests are there at a time.
        lend: Seconds without work after which a replica can be spared.
        idle: Seconds in which fewer were enough until some leave.
        until: When nobody looks any more.

    Attributes:
        loans: What the replicas hold, those with work first.
        wanted: How many there are to be.
        counts: How many there were, at each look.
    """

    def __init__(  # noqa: PLR0913 - what an experiment varies
        self,
        block: Simulation,
        least: int,
        most: int,
        load: Callable[[float], int],
        *,
        lend: float = 1.0,
        idle: float = 60.0,
        until: float = 100.0,
    ) -> None:
        self._block, self._load, self._until = block, load, until
        self._leases = block.under_way.for_services
        self._needs = TaskSpec(runtime="vllm", resources=Resources(cores=1, gpus=1))
        self._scaling = Scaling(least, most, 4, idle, lend)
        self._worked: dict[int, float] = {}
        self.loans: list[Loan] = []
        self._wishes: list[Callable[[], None]] = []
        self.counts: list[tuple[float, int]] = []
        self.wanted = least
        for _ in range(least):
            self._have(self._leases.lend("service m", self._needs))
        self._leases.lasting = False
        self._leases.on_change = lambda: block.at(block.now, lambda: block.core.room_changed(block.now))
        block.at(LOOK_EVERY, self._look)

    def _have(self, loan: Loan | None) -> None:
        assert loan is not None
        self.loans.append(loan)
        self._worked[loan.lease] = self._block.now

    def _look(self) -> None:
        now, pending = self._block.now, self._load(self._block.now)
        for loan in self.loans[: -(-pending // 4)]:
            self._worked[loan.lease] = now
        needed = self._scaling.wanted(self.wanted, pending, now)
        while self.wanted < needed and self._grow(now):
            self.wanted += 1
        while self.wanted > needed:
            self.wanted -= 1
            self._shrink()
        self._lend(pending, now)
        self.counts.append((now, len(self.loans)))
        if now < self._until:
            self._block.at(now + LOOK_EVERY, self._look)

    def _grow(self, now: float) -> bool:
        if loan := self._leases.lend("service m", self._needs):
            self._have(loan)
            return True
        if self.wanted and not self._scaling.claims(now):
            return False
        self._wishes.append(self._leases.ask("service m", self._needs, "", self._granted))
        return True

    def _granted(self, loan: Loan) -> None:
        self._wishes.pop(0)
        self._have(loan)

    def _shrink(self) -> None:
        if self._wishes:
            self._wishes.pop()()
        else:
            self.loans.pop().give_back()

    def _lend(self, pending: int, now: float) -> None:
        idle = sorted(self.loans[-(-pending // 4) :], key=lambda loan: self._worked[loan.lease])
        spare = idle[: self._scaling.spare(self.wanted, (self._worked[loan.lease] for loan in idle), now)]
        for loan in self._leases.sought(spare, now) if spare else ():
            self._scaling.lent(now)
            self.wanted -= 1
            self.loans = [other for other in self.loans if other is not loan]
            loan.give_back()
