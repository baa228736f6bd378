"""Nodes by how many of their cores are free, so that a search looks only at levels where there are some."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence

from rhapsody_parsl.pilot.account import Account

__all__ = ("Changes", "Levels", "emptiest_first", "fullest_first")

_NONE: dict[Account, None] = {}


class Changes:
    """Nodes of a pool in the order in which they last changed.

    Attributes:
        count: Of all changes so far.
    """

    __slots__ = ("_last", "_newest", "count")

    def __init__(self) -> None:
        self._last: OrderedDict[Account, int] = OrderedDict()
        self._newest: tuple[Account, ...] = ()
        self.count = 0

    def note(self, account: Account) -> None:
        """A node has changed."""
        self.count += 1
        self._last[account] = self.count
        self._last.move_to_end(account)
        self._newest = (account,)

    def since(self, count: int) -> Iterable[Account]:
        """Return the nodes that have changed since there were so many changes, each once, the last one last."""
        if count == self.count - 1:
            return self._newest
        found: list[Account] = []
        for account, last in reversed(self._last.items()):
            if last <= count:
                break
            found.append(account)
        return reversed(found)


class Levels:
    """Accounts that hold something, by their free cores.

    They are brought up to date by whoever looks, and not by each change: of most changes to most of these nobody asks.

    Accounts are taken from the front of their level: a plain dict keeps the gaps there, and whoever looks for its first
    has to pass them.

    Args:
        changes: Of the accounts of a pool.
        holds: Whether one is to be here, of those that are not away; without it all are.

    Attributes:
        occupied: Its bit n tells whether an account with n free cores is here.
    """

    __slots__ = ("_changes", "_holds", "_levels", "_place", "_seen", "occupied")

    def __init__(self, changes: Changes, holds: Callable[[Account], object] | None = None) -> None:
        self._changes, self._holds, self._seen = changes, holds, 0
        self._levels: list[OrderedDict[Account, None]] = []
        self._place: dict[Account, int] = {}
        self.occupied = 0

    def now(self) -> "Levels":
        """Bring it up to date; return it."""
        if self._seen != self._changes.count:
            for account in self._changes.since(self._seen):
                self._move(account)
            self._seen = self._changes.count
        return self

    def _move(self, account: Account) -> None:
        levels, free = self._levels, self._place.get(account)
        here = account.pool.book is self._changes and not account.away
        if here and free == account.free_cores and self._holds is None:
            levels[free].move_to_end(account)
            return
        if free is not None:
            del self._place[account]
            del levels[free][account]
            if not levels[free]:
                self.occupied ^= 1 << free
        if here and (self._holds is None or self._holds(account)):
            free = self._place[account] = account.free_cores
            while len(levels) <= free:
                levels.append(OrderedDict())
            levels[free][account] = None
            self.occupied |= 1 << free

    def at(self, level: int) -> dict[Account, None]:
        """Return the accounts with so many free cores."""
        return self._levels[level] if self.occupied >> level & 1 else _NONE

    def sizes(self, least: int) -> Iterator[tuple[int, int]]:
        """Yield levels from `least` up, and how many accounts each has."""
        occupied = self.occupied >> least << least
        while occupied:
            lowest = occupied & -occupied
            level = lowest.bit_length() - 1
            yield level, len(self._levels[level])
            occupied ^= lowest


def fullest_first(parts: Sequence[Levels], least: int) -> Iterator[Account]:
    """Yield the accounts with at least `least` free cores, those with the fewest first."""
    occupied = _occupied(parts, least)
    while occupied:
        lowest = occupied & -occupied
        for part in parts:
            yield from part.at(lowest.bit_length() - 1)
        occupied ^= lowest


def emptiest_first(parts: Sequence[Levels], least: int, *, newest: bool = False) -> Iterator[Account]:
    """Yield the accounts with at least `least` free cores, those with the most first.

    Args:
        parts: Where they are.
        least: See above.
        newest: Whether of equal ones those that have changed last come first, and not those that stay as they are.
    """
    occupied = _occupied(parts, least)
    while occupied:
        level = occupied.bit_length() - 1
        for part in parts:
            yield from reversed(part.at(level)) if newest else part.at(level)
        occupied ^= 1 << level


def _occupied(parts: Sequence[Levels], least: int) -> int:
    occupied = 0
    for part in parts:
        occupied |= part.occupied
    return occupied >> least << least
