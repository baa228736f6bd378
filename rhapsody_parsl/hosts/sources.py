"""Which host gives a file to which: a few at a time each, and whoever has it gives it on. No sockets and no clock."""

from typing import NamedTuple

__all__ = ("Place", "Sources")

_AT_ONCE = 4
"""Hosts that take a file from the same one at a time."""
_FORGOTTEN = 600.0
"""Seconds after which one that took a file and said nothing more counts no more."""


class Place(NamedTuple):
    """Where a host gives a file."""

    address: str
    port: int


class Sources:
    """The hosts that have a file.

    Args:
        first: The one that had it first; it stays one, whatever is said of it.
    """

    def __init__(self, first: Place) -> None:
        self._first = first
        self._takers: dict[Place, list[float]] = {first: []}

    def __len__(self) -> int:
        return len(self._takers)

    def take(self, now: float) -> "Place | None":
        """Return the place with the fewest takers, the first one last; it has one more now. None: all have enough."""
        place, takers = self._idlest()
        if len(takers) >= _AT_ONCE:
            for takers in self._takers.values():
                takers[:] = [since for since in takers if now - since < _FORGOTTEN]
            place, takers = self._idlest()
        if len(takers) >= _AT_ONCE:
            return None
        takers.append(now)
        return place

    def _idlest(self) -> "tuple[Place, list[float]]":
        return min(self._takers.items(), key=lambda item: (len(item[1]), item[0] == self._first))

    def over(self, source: Place, taker: "Place | None") -> None:
        """Somebody has taken the file there, and gives it on; or could not take it, and so nobody else is sent there.

        Args:
            source: Where.
            taker: Who gives it on; None: it could not be had.
        """
        takers = self._takers.get(source, [])
        if takers:
            takers.pop(0)
        if taker is not None:
            self._takers.setdefault(taker, [])
        elif source != self._first:
            self._takers.pop(source, None)
