"""How requests at a front door are written: what many have in common once, and by its number then."""

from collections.abc import Callable, Iterable

from rhapsody_parsl.record.entries import Asker, Failure, RequestEntry
from rhapsody_parsl.record.failures import Failures
from rhapsody_parsl.record.numbers import Numbers
from rhapsody_parsl.record.run import RequestRecord
from rhapsody_parsl.wire.door import DoorRequest
from rhapsody_parsl.wire.states import REQUEST_ENDS

__all__ = ("Requests", "request_of")

_MOST = 4000
"""Askers that are told apart at a time."""


class Requests:
    """Makes entries of requests.

    Args:
        put: Takes each new asker.
        failures: Numbers for failures.
    """

    def __init__(self, put: Callable[[Asker], None], failures: Failures) -> None:
        self._failures = failures
        self._numbers = Numbers[tuple[str, str, str, str]](_MOST, lambda number, facts: put(Asker(number, *facts)))

    def entries(self, told: Iterable[DoorRequest]) -> list[RequestEntry]:
        """Return requests as they are written."""
        return [
            RequestEntry(
                self._asker(request), request.came, request.waited, request.seconds, request.ended, request.status,
                request.times, request.tries, self._failures.of_words(request.error, request.words), request.trace,
                request.number,
            )
            for request in told
        ]  # fmt: skip

    def _asker(self, request: DoorRequest) -> int:
        return self._numbers.of((request.service, request.key, request.path, request.node))


def request_of(entry: RequestEntry, block: str, asker: Asker, failure: Failure) -> RequestRecord:
    """Return a request as it is told of.

    Args:
        entry: What was written of it.
        block: Where it came.
        asker: What it asks.
        failure: With what it failed.
    """
    return RequestRecord(
        service=asker.service,
        key=asker.key,
        path=asker.path,
        block=block,
        node=asker.node,
        outcome=REQUEST_ENDS[entry.ended],
        status=entry.status,
        failure=failure.name,
        words=failure.words,
        came=entry.came,
        waited=entry.waited,
        ended=entry.came + entry.seconds,
        tries=entry.tries,
        request=entry.times,
        trace=entry.trace,
    )
