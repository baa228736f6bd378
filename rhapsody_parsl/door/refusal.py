"""What the door itself answers when it cannot pass a request on, in the shape that OpenAI's clients read."""

from typing import Any

import msgspec

from rhapsody_parsl.wire.states import RequestEnd

__all__ = ("DIED", "RETRY_AFTER", "Refusal", "error_event", "error_of")

RETRY_AFTER = 5
"""Seconds that a client is told to wait."""
DIED = "replica_died"
"""The code of what an engine could not answer because it died."""
_TYPES = {
    401: "authentication_error",
    404: "not_found_error",
    429: "requests",
    502: "server_error",
    503: "service_unavailable",
    504: "timeout",
}


class Refusal(Exception):  # noqa: N818 - named for what it is; it never leaves the door's process
    """A request is refused.

    Args:
        status: HTTP's.
        message: For people.
        code: For programs.
        retry_after: Seconds that the client is told to wait; 0 says nothing, or `RETRY_AFTER` with status 503.
        advice: What is said to the client alone, and differs each time: the record does without.

    Attributes:
        status: See above.
        headers: Of the answer.
    """

    def __init__(
        self, status: int, message: str, code: str | None = None, *, retry_after: int = 0, advice: str = ""
    ) -> None:
        super().__init__(message)
        self.status, self._message, self._code = status, f"{message}{advice}", code
        seconds = retry_after or (RETRY_AFTER if status == 503 else 0)  # noqa: PLR2004 - HTTP's number
        self.headers = {"Retry-After": str(seconds)} if seconds else {}

    @property
    def name(self) -> str:
        """What it is called in the record of the run."""
        return self._code or f"HTTP {self.status}"

    @property
    def end(self) -> RequestEnd:
        """How a request ends with it."""
        if self._code == DIED:
            return "failed"
        return "late" if self.status == 504 else "refused"  # noqa: PLR2004 - HTTP's number

    @property
    def content(self) -> dict[str, Any]:
        """What the answer says."""
        return error_of(self.status, self._message, self._code)


def error_of(status: int, message: str, code: str | None = None) -> dict[str, Any]:
    """Return an error as OpenAI words it."""
    kind = _TYPES.get(status, "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def error_event(message: str) -> bytes:
    """Return an error as the last event of a stream that had begun."""
    return b"data: " + msgspec.json.encode(error_of(502, message, DIED)) + b"\n\n"
