"""Requests that wait at the door until a replica has room for them: no I/O, and times are the caller's.

A replica has only so many requests at once. The others wait here, and not in its engine: so a replica that comes later
takes the next of them at once, and one that is urgent comes before those that are not. Those that may be what kills
replicas wait apart, for a replica takes one of them at a time.
"""

from collections.abc import Iterator, Sequence
from itertools import count

from rhapsody_parsl.door.refusal import Refusal
from rhapsody_parsl.door.routing import Router, Seat
from rhapsody_parsl.services.waiting import Waiting

__all__ = ("Queue", "Turn")

_numbers = count()
_FULL = "queue_full"


class Turn:
    """A request's turn; it keeps its place when its replica dies.

    Args:
        prefix: Of its prompt, see `prefixes`.
        session: To which it belongs, "" for none.
        priority: Lower is served first.

    Attributes:
        prefix: See above.
        session: See above.
        priority: See above.
        number: Of those that came.
        seats: How many replicas it was given.
        deaths: Which of them died under it.
        suspect: Whether it may be what kills them.
    """

    __slots__ = ("deaths", "number", "prefix", "priority", "seats", "session", "suspect")

    def __init__(self, prefix: Sequence[int] = (), session: str = "", priority: float = 0.0) -> None:
        self.prefix, self.session, self.priority, self.number = prefix, session, priority, next(_numbers)
        self.seats, self.deaths, self.suspect = 0, set[str](), False


class Queue:
    """The requests of one model that wait.

    Args:
        router: Its replicas.
        service: Its name.

    Attributes:
        most: How many may wait; further ones are refused.
    """

    def __init__(self, router: Router, service: str) -> None:
        self._router, self._service = router, service
        self._waiting: Waiting[Turn] = Waiting()
        self._suspects: Waiting[Turn] = Waiting()
        self.most = 0

    def __len__(self) -> int:
        return len(self._waiting) + len(self._suspects)

    def ask(self, turn: Turn, now: float) -> Seat | None:
        """Return the replica for a request; None when it waits, and is one of those that are `served` later.

        Args:
            turn: The request's; one that has waited before is never refused.
            now: The time.

        Raises:
            Refusal: Too many wait.
        """
        line = self._suspects if turn.suspect else self._waiting
        if not line and (seat := self._chosen(turn, now)):
            return seat
        if len(self._waiting) >= self.most and not turn.seats:
            text = f"{len(self._waiting)} requests wait for model '{self._service}', its requests_waiting={self.most}"
            raise Refusal(503, text, _FULL)
        line.put(turn, turn.priority, turn.number)
        return None

    def served(self, now: float) -> Iterator[tuple[Turn, Seat]]:
        """Yield who waits no more, with the replica that has room for it, the first one first.

        Args:
            now: The time.
        """
        for line in (self._suspects, self._waiting):
            while (turn := line.first()) and (seat := self._chosen(turn, now)):
                line.remove(turn)
                yield turn, seat

    def leave(self, turn: Turn) -> None:
        """A request waits no more; idempotent."""
        self._waiting.remove(turn)
        self._suspects.remove(turn)

    def take_all(self) -> list[Turn]:
        """Give up all that wait, and return them."""
        turns = [*self._suspects, *self._waiting]
        self._waiting.clear()
        self._suspects.clear()
        return turns

    def _chosen(self, turn: Turn, now: float) -> Seat | None:
        seat = self._router.choose(turn.prefix, turn.session, now, turn.suspect)
        turn.seats += seat is not None
        return seat
