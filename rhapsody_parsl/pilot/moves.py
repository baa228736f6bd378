"""Which value moves next, from which host to which: pure.

A host gives what it has, and what it is about to have: pieces go on as they come. It gives a few at a time. So a value
that many want goes down a tree, to all at once, and no host sends it to all.
"""

from collections import Counter
from collections.abc import Hashable, Mapping
from itertools import islice
from typing import Generic, NamedTuple, TypeVar

from rhapsody_parsl.agents.words import NOT_THERE, UNREACHABLE

__all__ = ("Move", "Moves")

_MOST_GIVEN = 2
"""Values that a host gives at a time."""

H = TypeVar("H", bound=Hashable)


class Move(NamedTuple, Generic[H]):
    """A value on its way.

    Attributes:
        number: Unique.
        key: The value's.
        source: Who gives it.
        target: Who gets it.
        direct: Whether it goes from one to the other, and not by the pilot.
    """

    number: int
    key: str
    source: H
    target: H
    direct: bool


class Moves(Generic[H]):
    """The values of some hosts, and who lacks which."""

    def __init__(self) -> None:
        self._holders: dict[str, dict[H, None]] = {}
        self._wanted: dict[tuple[str, H], None] = {}
        self._under_way: dict[int, Move[H]] = {}
        self._coming: dict[str, dict[H, Move[H]]] = {}  # those of each value, by their targets
        self._ending_there: set[int] = set()  # moves of which nothing can be given on before they have ended
        self._giving: Counter[H] = Counter()
        self._apart: set[frozenset[H]] = set()
        self._count = 0

    def has(self, key: str, host: H) -> None:
        """A value lies there."""
        self._holders.setdefault(key, {})[host] = None

    def holders(self, key: str) -> list[H]:
        """Return where a value lies, the first to have it first."""
        return list(self._holders.get(key, ()))

    def want(self, key: str, host: H) -> None:
        """A host lacks a value, whatever it was said to have; idempotent."""
        self._holders.get(key, {}).pop(host, None)
        if host not in self._coming.get(key, ()):
            self._wanted[key, host] = None

    def start(self) -> list[Move[H]]:
        """Return the moves that begin now."""
        return [move for key, target in list(self._wanted) if (move := self._begin(key, target))]

    def _begin(self, key: str, target: H) -> Move[H] | None:
        able = self._able(key, target)
        if not able:
            return None
        source = min(able, key=lambda host: (self._is_apart(host, target), self._giving[host]))
        del self._wanted[key, target]
        self._count += 1
        self._giving[source] += 1
        move = Move(self._count, key, source, target, not self._is_apart(source, target))
        self._under_way[move.number] = self._coming.setdefault(key, {})[target] = move
        return move

    def _able(self, key: str, target: H) -> list[H]:
        """Return who can give a value: those who have it, else the first who is about to."""
        free = [host for host in self._holders.get(key, ()) if self._giving[host] < _MOST_GIVEN and host != target]
        if free:
            return free
        coming = self._coming.get(key, {})
        able = (host for host, move in coming.items() if self._goes_on(move, target))
        return list(islice((host for host in able if not _is_from(target, host, coming)), 1))

    def _goes_on(self, move: Move[H], target: H) -> bool:
        """Whether what comes by a move can be given on to another host meanwhile."""
        if self._giving[move.target] >= _MOST_GIVEN or not move.direct or move.number in self._ending_there:
            return False
        return not self._is_apart(move.target, target)

    def _is_apart(self, host: H, other: H) -> bool:
        return frozenset((host, other)) in self._apart

    def _over(self, number: int) -> Move[H] | None:
        """A move is not under way any more; return it, None when it was not."""
        move = self._under_way.pop(number, None)
        if move:
            self._giving[move.source] -= 1
            self._ending_there.discard(number)
            del self._coming[move.key][move.target]
            if not self._coming[move.key]:
                del self._coming[move.key]
        return move

    def ended(self, number: int, problem: str = "") -> Move[H] | None:
        """A move has ended; return it, None when it does not count any more.

        Args:
            number: Its.
            problem: Why the value is not there. If the two do not reach each other it is to come by the pilot; if it
                was not there, from another host. Else it is wanted there no more.
        """
        move = self._over(number)
        if move is None:
            return None
        if not problem:
            self.has(move.key, move.target)
            return move
        if problem == UNREACHABLE:
            self._apart.add(frozenset((move.source, move.target)))
        elif problem == NOT_THERE:
            self._holders.get(move.key, {}).pop(move.source, None)
            if before := self._coming.get(move.key, {}).get(move.source):
                self._ending_there.add(before.number)
        if problem in (UNREACHABLE, NOT_THERE):
            self._wanted[move.key, move.target] = None
        return move

    def move(self, number: int) -> Move[H] | None:
        """Return a move that is under way."""
        return self._under_way.get(number)

    def hopeless(self) -> list[tuple[str, H]]:
        """Return what is wanted and lies nowhere, and by whom; it is wanted no more."""
        found = [(key, host) for key, host in self._wanted if not self._holders.get(key)]
        for each in found:
            del self._wanted[each]
        return found

    def lost(self, host: H) -> list[str]:
        """A host is gone with what it had; return the values that lie nowhere now."""
        gone = []
        for key, holders in self._holders.items():
            if host in holders:
                del holders[host]
                if not holders:
                    gone.append(key)
        self._wanted = {(key, target): None for key, target in self._wanted if target != host}
        for move in [move for move in self._under_way.values() if host in (move.source, move.target)]:
            self._over(move.number)
            if move.target != host:
                self._wanted[move.key, move.target] = None
        self._apart = {pair for pair in self._apart if host not in pair}
        return gone

    def drop(self, key: str) -> set[H]:
        """Nobody needs a value any more; return who has it, or is about to."""
        there = set(self._holders.pop(key, ()))
        for move in list(self._coming.get(key, {}).values()):
            self._over(move.number)
            there.add(move.target)
            self._wanted[key, move.target] = None
        return there


def _is_from(target: H, host: H, coming: Mapping[H, Move[H]]) -> bool:
    """Whether what comes to a host comes from the target, by whomever."""
    while host != target and host in coming:
        host = coming[host].source
    return host == target
