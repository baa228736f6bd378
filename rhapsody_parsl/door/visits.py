"""What becomes of the requests at the door, for the record of the run: events in, messages out.

A request is told when it has ended, and before that when it is under way for a while: so one that is lost with this
process is known.
"""

import asyncio
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from itertools import count

import msgspec

from rhapsody_parsl.door.refusal import Refusal
from rhapsody_parsl.door.routing import Seat
from rhapsody_parsl.door.usage import Tokens
from rhapsody_parsl.wire.door import DoorRequest, DoorRequests
from rhapsody_parsl.wire.states import REQUEST_ENDS, RequestEnd
from rhapsody_parsl.wire.times import RequestTimes

__all__ = ("Visit", "Visits", "current")

_A_WHILE = 0.5
"""Seconds after which a request is told that has not ended."""
_EVERY = 0.25
"""Seconds between two messages."""
_PIECE = 500
"""Requests in a message at most."""
_MOST = 20_000
"""Requests that have ended and wait for the pilot to listen; what ends then is counted alone."""
_MOST_WORDS = 300
_AN_ERROR = 400
_current: ContextVar["Visit"] = ContextVar("visit")
_STOPPED = "the front door has been stopped"
_trace_of = re.compile("[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}").fullmatch
_decode = msgspec.json.Decoder().decode


class Visit:
    """A request at the door.

    Args:
        path: What it asks for.
        key: Name of who holds its key.
        trace: The `traceparent` that its client sent, or "".
        came: When, in seconds since the epoch.
        clock: Seconds, of any one clock.

    Attributes:
        service: Whom it asks; "" until that is known.
        since: When it came, by `clock`.
        number: Under which it was told; 0 before that.
    """

    def __init__(self, path: str, key: str, trace: str, *, came: float, clock: Callable[[], float]) -> None:
        self._path, self._key, self._came, self._clock = path, key, came, clock
        self.since = clock()
        self._trace = trace if _trace_of(trace) else ""
        self.service, self.number = "", 0
        self._seat: Seat | None = None
        self._asked_at = self._first_at = 0.0
        self._tries = self._status = 0
        self._problem: tuple[RequestEnd, str, str] = ("done", "", "")
        self._tokens = Tokens()

    def asked(self, seat: Seat, *, part: bool = False) -> None:
        """A replica has it now, or a part of it; of a divided list the first that one has stands for all."""
        if part and self._seat:
            return
        self._seat, self._asked_at = seat, self._clock()
        self._tries += 1

    def began(self, status: int, data: bytes, *, stream: bool) -> None:
        """The first bytes of its answer are there; all of them, where it is no stream."""
        self._status = status
        if stream:
            self._first_at = self._clock()
        if status >= _AN_ERROR:
            self._problem = ("failed", f"HTTP {status}", _words_of(data))
        self.more(data)

    def more(self, data: bytes) -> None:
        """Bytes of its answer are there."""
        self._tokens.take(data)

    def has_all(self) -> bool:
        """Whether its client was sent a whole stream: many hang up then, before the connection is at its end."""
        return self._tokens.are_all()

    def broke(self, words: str) -> None:
        """Its replica died in the middle of the answer."""
        self._problem = ("failed", "replica_died", words)

    def refused(self, refusal: Refusal) -> None:
        """The door answers in place of a replica."""
        self._status, self._problem = refusal.status, (refusal.end, refusal.name, str(refusal))

    def lost(self, end: RequestEnd, words: str) -> None:
        """It ends with no answer."""
        self._problem = end, "", words

    def told(self) -> DoorRequest:
        """Return what has become of it until now."""
        now, seat, (end, error, words) = self._clock(), self._seat, self._problem
        waited = (self._asked_at if seat else now) - self.since
        return DoorRequest(
            self.number, self.service, self._key, self._path, self._came, waited, now - self.since,
            REQUEST_ENDS.index(end), self._status, self._times(seat, waited) if seat else None,
            seat.node if seat else "", self._tries, error, _fit(words), self._trace,
        )  # fmt: skip

    def _times(self, seat: Seat, waited: float) -> RequestTimes:
        prompt, answer, counted = self._tokens.counts()
        first = self._first_at and max(self._first_at - self._asked_at, 0.0)
        return RequestTimes(self._came + waited, first, prompt, answer, seat.replica.partition("/")[0], counted)


def current() -> Visit:
    """Return the request that is answered here, by the task that watches it or one that this has started."""
    return _current.get()


class Visits:
    """The requests at the door.

    Args:
        on: Whether they are told.
        clock: Seconds, of any one clock.
        wall: Seconds since the epoch.
    """

    def __init__(
        self, on: bool = True, clock: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time
    ) -> None:
        self._on, self._clock, self._wall = on, clock, wall
        self._numbers = count(1)
        self._new: dict[Visit, None] = {}
        self._ended: list[DoorRequest] = []
        self._dropped = 0
        self._loads: tuple[Mapping[str, int], Mapping[str, int]] = ({}, {})
        self._told_at = 0.0

    @contextmanager
    def watch(self, path: str, key: str, trace: str = "") -> Iterator[None]:
        """Take note of a request while it is here, and of how it ends.

        Args:
            path: What it asks for.
            key: Name of who holds its key.
            trace: The `traceparent` that its client sent, or "".
        """
        visit = Visit(path, key, trace, came=self._wall(), clock=self._clock)
        self._new[visit] = None
        _current.set(visit)
        try:
            yield
        except Refusal as refusal:
            visit.refused(refusal)
            raise
        except (asyncio.CancelledError, ConnectionError):
            if not visit.has_all():
                visit.lost("left", "the client hung up")
            raise
        except BaseException as problem:
            visit.lost("failed", f"{type(problem).__name__}: {problem}")
            raise
        finally:
            self._end(visit)

    def _end(self, visit: Visit) -> None:
        self._new.pop(visit, None)
        if not self._on:
            return
        if len(self._ended) < _MOST:
            self._ended.append(visit.told())
        else:
            self._dropped += 1

    def take(
        self, waiting: Mapping[str, int], answering: Mapping[str, int], *, at_once: bool = False
    ) -> DoorRequests | None:
        """Return what is to be told, None when that is nothing, or it is too early.

        Args:
            waiting: How many wait for a replica, by service.
            answering: How many replicas have, by service.
            at_once: Whether it is never too early.
        """
        now = self._clock()
        early = now - self._told_at < _EVERY and not at_once and len(self._ended) < _PIECE
        if early or not self._on:
            return None
        self._told_at = now
        begun = list(self._begun(now))
        if not (begun or self._ended or self._dropped) and self._loads == (waiting, answering):
            return None
        self._loads = waiting, answering
        said = DoorRequests(begun, self._ended[:_PIECE], dict(waiting), dict(answering), self._dropped)
        self._ended, self._dropped = self._ended[_PIECE:], 0
        return said

    def _begun(self, now: float) -> Iterator[DoorRequest]:
        """Go over those that are under way for a while since the last time, the oldest first."""
        while self._new:
            visit = next(iter(self._new))
            if now - visit.since < _A_WHILE:
                return
            del self._new[visit]
            visit.number = next(self._numbers)
            yield visit.told()

    def end_all(self) -> DoorRequests | None:
        """Return all that was not told, when this process is about to leave with what is under way."""
        for visit in list(self._new):
            visit.lost("lost", _STOPPED)
            self._end(visit)
        ended, self._ended = self._ended, []
        return DoorRequests(ended=ended, dropped=self._dropped, gone=_STOPPED) if self._on else None


def _words_of(data: bytes) -> str:
    """Return what an engine says in an error, as OpenAI words it, else as it is."""
    with suppress(msgspec.DecodeError, KeyError, TypeError):
        said = _decode(data)
        return str(said["error"]["message"] if "error" in said else said["message"])
    return data[:_MOST_WORDS].decode(errors="replace")


def _fit(words: str) -> str:
    return words[:_MOST_WORDS].encode(errors="replace").decode()
