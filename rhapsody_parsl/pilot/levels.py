"""Nodes by how many of their cores are free, so that a search looks only at levels where there are some."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence

from rhapsody_parsl.pilot.account import Account

__all__ = ("Levels", "emptiest_first", "fullest_first")

_NONE: Mapping[str, Account] = {}


class Levels:
    """Accounts by their free cores.

    Accounts are taken from the front of their level: a plain dict keeps the gaps there, and whoever looks for its first
    has to pass them. Whoever changes an account's free cores takes it out before and puts it back afterwards.

    Attributes:
        occupied: Its bit n tells whether an account with n free cores is here.
    """

    __slots__ = ("_levels", "occupied")

    def __init__(self) -> None:
        self._levels: list[OrderedDict[str, Account]] = []
        self.occupied = 0

    def put(self, account: Account) -> None:
        """Place an account where its free cores belong."""
        free, levels = account.free_cores, self._levels
        while len(levels) <= free:
            levels.append(OrderedDict())
        levels[free][account.node.name] = account
        self.occupied |= 1 << free

    def discard(self, account: Account) -> None:
        """Take an account out, if it is here."""
        free = account.free_cores
        if not self.occupied >> free & 1:
            return
        level = self._levels[free]
        if level.pop(account.node.name, None) is not None and not level:
            self.occupied ^= 1 << free

    def at(self, level: int) -> Mapping[str, Account]:
        """Return the accounts with so many free cores."""
        return self._levels[level] if self.occupied >> level & 1 else _NONE

    def sizes(self, least: int) -> Iterator[tuple[int, int]]:
        """Yield levels from `least` up, and how many accounts each has."""
        for level in _rising(self.occupied >> least << least):
            yield level, len(self._levels[level])


def fullest_first(parts: Sequence[Levels], least: int) -> Iterator[Account]:
    """Yield the accounts with at least `least` free cores, those with the fewest first."""
    for level in _rising(_occupied(parts, least)):
        for part in parts:
            yield from part.at(level).values()


def emptiest_first(parts: Sequence[Levels], least: int) -> Iterator[Account]:
    """Yield the accounts with at least `least` free cores, those with the most first."""
    occupied = _occupied(parts, least)
    while occupied:
        level = occupied.bit_length() - 1
        for part in parts:
            yield from part.at(level).values()
        occupied ^= 1 << level


def _occupied(parts: Sequence[Levels], least: int) -> int:
    occupied = 0
    for part in parts:
        occupied |= part.occupied
    return occupied >> least << least


def _rising(bits: int) -> Iterator[int]:
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest
