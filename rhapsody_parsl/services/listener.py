"""Who gives work to a service, as the service sees it."""

from typing import Protocol

from rhapsody_parsl.errors import ServiceFailed
from rhapsody_parsl.hosts.ending import Cause
from rhapsody_parsl.services.replica import Replica
from rhapsody_parsl.services.restarts import Death
from rhapsody_parsl.wire.messages import FromBackend

__all__ = ("Listener",)


class Listener(Protocol):
    """Who gives work to a service."""

    @property
    def pending(self) -> int:
        """How many requests it has that have not ended."""

    def held(self, replica: Replica) -> int:
        """Return how many of them a replica holds."""

    def keeps(self, replica: Replica) -> bool:
        """Whether nobody else is to give a replica work: it may be one that the work kills."""

    def changed(self, replica: Replica) -> None:
        """A replica's state changed."""

    def gone(self, replica: Replica) -> None:
        """A replica was stopped: what it held others are asked."""

    def died(self, replica: Replica, failure: ServiceFailed, cause: Cause) -> Death:
        """A replica that was ready died; return what that counts against it."""

    def told(self, answered: bool) -> None:
        """The front door said what became of its requests; `answered` when our replicas have answered some."""

    def heard(self, replica: Replica, message: FromBackend) -> None:
        """A replica's head said something about its work."""

    def look(self, now: float) -> None:
        """Time passed; called again and again.

        Args:
            now: The time.
        """
