"""Which replica of a model a request goes to: no I/O, and times are the caller's.

The one with the least to do, but for two wishes. A session stays with its replica. And a prompt goes to a replica that
has read its beginning before, for that part of the work is in its cache. To wait there must not cost more than it
saves: a replica that has `AFFINITY` requests more than the least, and more than twice as many, is passed over. One that
has as many as it takes is not asked at all.
"""

import sys
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from rhapsody_parsl.services.places import most_of
from rhapsody_parsl.wire.door import Route

__all__ = ("AFFINITY", "Router", "Seat")

AFFINITY = 32
"""How many requests more than the least a replica may have, and still get one for its cache."""
_MOST_PREFIXES = 1 << 16
_MOST_SESSIONS = 1 << 14


class Seat:
    """A replica as requests see it.

    Attributes:
        replica: Its name, another one with every start.
        url: Of its API.
        node: Where it is.
        held: How many requests it has.
        apps: How many it has of apps beside them.
        away_until: Nobody answered there just now: it is asked again after that time.
        trial: Whether one of its requests may be what kills replicas.
        kept: Whether it gets nothing now.
    """

    __slots__ = ("apps", "away_until", "held", "kept", "node", "replica", "trial", "url")

    def __init__(self, route: Route) -> None:
        self.replica, self.url, self.node = route.replica, route.url, route.node
        self.held, self.apps, self.away_until, self.trial, self.kept = 0, 0, 0.0, False, route.kept


class Router:
    """The replicas of one model.

    Args:
        affinity: See `AFFINITY`; negative for none.

    Attributes:
        most: Requests that each takes at once, with those of apps.
    """

    def __init__(self, affinity: int = AFFINITY) -> None:
        self._affinity, self.most = affinity, sys.maxsize
        self._seats: dict[str, Seat] = {}
        self._leaving: set[Seat] = set()
        self._readers: OrderedDict[int, set[str]] = OrderedDict()
        self._sessions: OrderedDict[str, str] = OrderedDict()

    def __contains__(self, replica: str) -> bool:
        return replica in self._seats

    def __iter__(self) -> Iterator[Seat]:
        """Go over those that have requests or may get some."""
        return iter([*self._seats.values(), *self._leaving])

    def update(self, routes: Iterable[Route]) -> None:
        """These replicas take requests now; others finish what they have."""
        before = {seat.replica: seat for seat in self}
        self._seats = {}
        for route in routes:
            seat = self._seats[route.replica] = before.get(route.replica) or Seat(route)
            seat.kept = route.kept
        self._leaving = {seat for name, seat in before.items() if seat.held and name not in self._seats}

    def share(self, held: Mapping[str, int]) -> None:
        """Apps have so many requests with replicas, where they have some."""
        for name, seat in self._seats.items():
            seat.apps = held.get(name, 0)

    def ended(self, seat: Seat, suspect: bool = False) -> None:
        """A replica has a request less.

        Args:
            seat: The replica.
            suspect: Whether it may have been what kills replicas.
        """
        seat.held -= 1
        seat.trial = seat.trial and not suspect
        if not seat.held:
            self._leaving.discard(seat)

    def first(self) -> Seat | None:
        """Return a replica that takes requests, whatever it has to do."""
        return next(iter(self._seats.values()), None)

    def reachable(self, now: float) -> bool:
        """Whether a replica is there and answers, though it may have as much to do as it takes."""
        return any(seat.away_until <= now for seat in self._seats.values())

    def choose(self, prefix: Sequence[int], session: str, now: float, suspect: bool = False) -> Seat | None:
        """Return the replica for a request, None when none takes any; it counts as asked.

        Args:
            prefix: Of its prompt, see `prefixes`.
            session: Requests of one session go to one replica; "" is none.
            now: The time.
            suspect: Whether it may be what kills replicas: a replica takes one such request at a time.
        """
        seats, most = self._seats.items(), self.most
        there = {
            name: seat
            for name, seat in seats
            if not seat.kept
            and seat.away_until <= now
            and seat.held < (most_of(most, seat.apps) if seat.apps else most)
        }
        if suspect:
            there = {name: seat for name, seat in there.items() if not seat.trial}
        if not there:
            return None
        seat = there.get(self._sessions.get(session, "")) if session else None
        seat = seat or self._best(there, prefix)
        seat.held, seat.trial = seat.held + 1, seat.trial or suspect
        self._note(seat.replica, prefix, session)
        return seat

    def _best(self, there: dict[str, Seat], prefix: Sequence[int]) -> Seat:
        least = min(there.values(), key=_held)
        readers = [there[name] for name in self._read_most(prefix) if name in there]
        if readers:
            reader = min(readers, key=_held)
            if reader.held - least.held < max(self._affinity, least.held):
                return reader
        return least

    def _read_most(self, prefix: Sequence[int]) -> Collection[str]:
        """Return who has read the longest part of a prompt that anybody has read."""
        if self._affinity < 0:
            return ()
        for number in reversed(prefix):
            if readers := self._readers.get(number):
                readers &= self._seats.keys()  # what a replica has read is lost with it
                if readers:
                    return readers
        return ()

    def _note(self, replica: str, prefix: Sequence[int], session: str) -> None:
        for number in prefix if self._affinity >= 0 else ():
            self._readers.setdefault(number, set()).add(replica)
            self._readers.move_to_end(number)
        while len(self._readers) > _MOST_PREFIXES:
            self._readers.popitem(last=False)
        if session:
            self._sessions[session] = replica
            self._sessions.move_to_end(session)
            if len(self._sessions) > _MOST_SESSIONS:
                self._sessions.popitem(last=False)


def _held(seat: Seat) -> int:
    return seat.held
