"""What services know of the block's front door: who else gives their replicas work."""

from collections.abc import Mapping
from typing import Protocol

__all__ = ("Front", "NoFront")


class Front(Protocol):
    """One address for all models of the block."""

    def changed(self) -> None:
        """The services are otherwise than before."""

    def look(self) -> None:
        """See how many requests of others the replicas have; asked again and again."""

    def address(self) -> Mapping[str, str]:
        """Return the fields of a service by which its clients come there, {} while it is not open."""

    def pending(self, service: str) -> int:
        """Return how many requests for a service are there."""

    def held(self, replica: str) -> int:
        """Return how many requests a replica has of them."""

    @property
    def deaths(self) -> Mapping[str, int]:
        """Replicas that died under them, each with the number of one that explains it, 0 while one may be found to."""


class NoFront:
    """There is none."""

    def changed(self) -> None:
        """Nobody is told."""

    def look(self) -> None:
        """Nobody is told."""

    def address(self) -> Mapping[str, str]:
        """Return nothing."""
        return {}

    def pending(self, service: str) -> int:
        """Return that there are no requests."""
        return 0

    def held(self, replica: str) -> int:
        """Return that it has none."""
        return 0

    @property
    def deaths(self) -> Mapping[str, int]:
        """None."""
        return {}
