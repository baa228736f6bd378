"""How many replicas a service is to have, and which of them go; `scaling` says what its requests need."""

import time
from typing import Protocol

from rhapsody_parsl.errors import ServiceFailed
from rhapsody_parsl.service_config import ServiceConfig
from rhapsody_parsl.services.borrowing import size
from rhapsody_parsl.services.replica import Replica
from rhapsody_parsl.services.replicas import Replicas
from rhapsody_parsl.services.scaling import Scaling
from rhapsody_parsl.wire.states import SHOWN_FIRST, ServiceState

__all__ = ("SETTLED", "Number", "Work")

SETTLED: tuple[ServiceState, ...] = ("ready", "failed", "asleep")


class Work(Protocol):
    """The requests of a service."""

    @property
    def pending(self) -> int:
        """How many have not ended."""

    @property
    def to_come(self) -> int:
        """How many more are to come of those that tasks have made by now."""

    def held(self, replica: Replica) -> int:
        """Return how many of them a replica holds."""


class Number:
    """The number of a service's replicas, kept up as users and requests have it.

    Args:
        config: The user's.
        replicas: Those that are there.
        work: What they are asked.

    Attributes:
        wanted: How many there are to be.
    """

    def __init__(self, config: ServiceConfig, replicas: Replicas, work: Work) -> None:
        self._config, self._replicas, self._work = config, replicas, work
        self._sleepers = replicas.sleepers
        self._scaling = _scaling(config, config.replicas)
        self.wanted = config.least
        self._stale: list[Replica] = []
        self._closing = False

    @property
    def most(self) -> int:
        """How many there are to be at most; 0 when the service is stopped."""
        return self._scaling.most

    @property
    def parting(self) -> bool:
        """Whether replicas are to go once they have nothing left to do."""
        return self._closing or any(replica.leaving for replica in self._replicas.there)

    @property
    def changing(self) -> int:
        """How much of what was ordered is still to be done."""
        return sum(one.state not in SETTLED for one in self._replicas.there) + len(self._stale) + self._closing

    def set(self, replicas: int | tuple[int, int], drain: bool, renew: bool) -> None:
        """Have so many from now on; see `Service.serve`.

        Raises:
            ServiceFailed: The block can never hold as many; nothing has changed.
        """
        scaling = _scaling(self._config, replicas)
        if lack := self._replicas.lack(scaling.least):
            each = size(self._config)
            why = f"the block has no room for {scaling.least} replicas ({each} each): {lack}"
            raise ServiceFailed(self._config.name, why)
        self._scaling = scaling
        self.wanted = min(scaling.most, max(scaling.least, self.wanted))
        self._closing = not scaling.most and drain
        if renew:
            self._stale = self._replicas.staying
            self._sleepers.keep(0, time.monotonic())
        self._adjust(drain)
        self._sleepers.keep(scaling.most - self.wanted, time.monotonic())
        while self._stale and not drain:
            self._replicas.renew(self._stale.pop(), drain=False)

    def look(self, now: float) -> bool:
        """See how many the requests need; return whether that changed anything.

        Args:
            now: The time.
        """
        self._sleepers.keep(self._scaling.most - self.wanted, now)
        if self._scaling.least == self._scaling.most:
            return False
        before, needed = self.wanted, self._scaling.wanted(self.wanted, self._work.pending, now)
        while self.wanted < needed and self._grow(now):
            self.wanted += 1
        if needed < self.wanted:
            self.wanted = needed
            self._adjust(drain=True)
        return self.wanted != before

    def _grow(self, now: float) -> bool:
        """Have one more, if there is room; the first, and those for others that were spared, come before tasks."""
        if self._sleepers.wake() or self._replicas.add_if_room():
            return True
        if self.wanted and not self._scaling.claims(now):
            return False
        self._add()
        return True

    def _add(self) -> None:
        """Have one more, as soon as there is room: one that sleeps, where there is one."""
        if not (self._sleepers.wake() or self._sleepers.call()):
            self._replicas.begin(self._replicas.add())

    def spare(self, now: float) -> list[Replica]:
        """Return the replicas that could go for tasks, those that have been idle longest first."""
        if self._closing or self._stale:
            return []
        idle = [one for one in self._replicas.staying if one.state == "ready" and one.loan and not self._work.held(one)]
        idle.sort(key=lambda replica: replica.worked_at)
        return idle[: self._scaling.spare(self.wanted, (replica.worked_at for replica in idle), now)]

    def lend(self, replica: Replica, now: float) -> None:
        """Have a replica go for tasks, or sleep; it comes back when requests need it."""
        self._scaling.lent(now)
        self.wanted -= 1
        self._sleepers.lend(replica)

    def _adjust(self, drain: bool) -> None:
        """Add replicas, or have those leave that have the least to do."""
        staying = self._replicas.staying
        for _ in range(self.wanted - len(staying)):
            self._add()
        if self._closing:
            return
        for replica in sorted(staying, key=self._worth)[: max(0, len(staying) - self.wanted)]:
            self._replicas.leave(replica, drain)

    def _worth(self, replica: Replica) -> tuple[int, int, int]:
        return -SHOWN_FIRST.index(replica.state), self._work.held(replica), -replica.index

    def go_on(self) -> None:
        """Do what had to wait: stop replicas that have nothing left to do, and start the next again that is to be."""
        if self._closing and not (self._work.pending or self._work.to_come):
            self._closing = False
            self._adjust(drain=True)
        for replica in self._replicas.there:
            if replica.leaving and not self._work.held(replica):
                self._sleepers.part(replica)
        if self._stale and all(replica.state in SETTLED for replica in self._replicas.there):
            replica = self._stale.pop(0)
            if replica in self._replicas.there:
                self._replicas.renew(replica, drain=True)
                self.go_on()


def _scaling(config: ServiceConfig, replicas: int | tuple[int, int]) -> Scaling:
    least, most = (replicas, replicas) if isinstance(replicas, int) else replicas
    return Scaling(least, most, *config.scaling)
