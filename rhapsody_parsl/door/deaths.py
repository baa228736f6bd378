"""Whether a request is what kills replicas, or was only there when they died: no I/O, and times are the caller's.

A request that two replicas died under is a suspect: a replica takes one of those at a time. So those that were there by
chance part from the one that kills, and a further death is no proof against them.
"""

from collections.abc import Set as AbstractSet

__all__ = ("Deaths",)

_SUSPICIOUS = 2
"""Replicas that died under a suspect."""
_GUILTY = 6
"""Replicas that die under a request which kills them, where no others die.

When somebody kills one replica after the other, all requests are soon with the last one that lives. So the first few
deaths that a request was at are no proof, of however many replicas they are.
"""
_MOST = 20
"""What convicts, however many others die: no request is asked for ever."""
_WINDOW = 600.0
"""Seconds for which a death is remembered: as long as a request may be asked again, while replicas start."""


class Deaths:
    """The replicas of one model that died of late."""

    def __init__(self) -> None:
        self._at: dict[str, float] = {}
        self._solved: set[str] = set()
        self._open: list[set[str]] = []
        self._explained: dict[str, int] = {}
        self._explaining = 0

    def died(self, replica: str, own: set[str], now: float) -> bool:
        """A replica died under a request; return whether that is a suspect.

        Args:
            replica: Its name of that start.
            own: The replicas that died under the request, of no cause that was found; this one is added. It is the
                request's for good.
            now: The time.
        """
        self._at = {name: at for name, at in self._at.items() if at > now - _WINDOW}
        self._at.setdefault(replica, now)
        self._solved &= self._at.keys()
        self._explained = {name: one for name, one in self._explained.items() if name in self._at}
        if not any(one is own for one in self._open):
            self._open.append(own)
        own.add(replica)
        own -= self._solved
        return len(own) >= _SUSPICIOUS

    def convict(self, own: set[str]) -> bool:
        """Return whether a request kills replicas: more died under it than chance explains. Then it is over.

        Where replicas die without it as well, each of those makes another death under it likely.

        Args:
            own: The replicas that died under it.
        """
        others = len(self._at.keys() - own - self._solved)
        guilty = len(own) >= min(_MOST, _GUILTY + others)
        if guilty:
            self._solved |= own
            self.over(own)
        return guilty

    def over(self, own: AbstractSet[str], *, answered: bool = False) -> None:
        """A request is over; one without an answer may have been the cause, which nobody will ever know. Idempotent.

        Args:
            own: The replicas that died under it.
            answered: Whether it was: then it is none that kills.
        """
        still = [one for one in self._open if one is not own]
        if len(still) < len(self._open) and not answered:
            self._explaining += 1
            self._explained |= dict.fromkeys(own, self._explaining)
        self._open = still

    @property
    def suspicions(self) -> dict[str, int]:
        """The deaths that requests explain, each with the number of such a request; 0 while one may be found to."""
        return dict.fromkeys(set[str]().union(*self._open), 0) | self._explained
