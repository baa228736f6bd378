"""With what tasks fail: each failure is written once, and counted by its number."""

from collections.abc import Callable

import msgspec

from rhapsody_parsl.record.entries import Failure
from rhapsody_parsl.record.numbers import Numbers
from rhapsody_parsl.wire.failures import from_wire
from rhapsody_parsl.wire.joined import decode_answers, failure
from rhapsody_parsl.wire.messages import FAILED, PARTLY, Result

__all__ = ("Failures",)

_MOST = 1000
"""Failures that are told apart at a time."""
_MOST_WORDS = 300


class _Raised(msgspec.Struct, array_like=True, frozen=True):
    """The head of `raised.account.Account`."""

    name: str
    message: str


_decode_raised = msgspec.msgpack.Decoder(_Raised).decode
_decode_error = msgspec.msgpack.Decoder(tuple[str, list[object]]).decode


class Failures:
    """Numbers for failures.

    Args:
        put: Takes each new one.
    """

    def __init__(self, put: Callable[[Failure], None]) -> None:
        self._numbers = Numbers[tuple[str, str]](_MOST, lambda number, facts: put(Failure(number, *facts)))

    def of_result(self, result: Result) -> int:
        """Return the number of a result that is no value."""
        if not isinstance(result.payload, bytes):
            return self._number("unknown", "")
        try:
            if result.kind == PARTLY:
                told = decode_answers(result.payload)
                return self.of_error(failure(told, told.answers))
            if result.kind != FAILED:
                raised = _decode_raised(result.payload)
                return self._number(raised.name.removeprefix("builtins."), raised.message)
            name, facts = _decode_error(result.payload)
            return self._number(name, str(from_wire(name, facts)))
        except Exception:  # noqa: BLE001 - what bytes of anybody's can raise; who opens it tells the task
            return self._number("unknown", "")

    def of_error(self, error: Exception) -> int:
        """Return the number of an error of the driver's own."""
        return self._number(type(error).__name__, str(error))

    def of_words(self, name: str, words: str) -> int:
        """Return the number of what is known by its name and in words; 0 for neither."""
        return self._number(name, words) if name or words else 0

    def _number(self, name: str, words: str) -> int:
        return self._numbers.of((name[:_MOST_WORDS], words[:_MOST_WORDS].encode(errors="replace").decode()))
