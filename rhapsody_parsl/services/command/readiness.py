"""Whether a command is ready: it takes connections, answers over HTTP, or has written what it writes then."""

import asyncio
import http.client
import os
import re

__all__ = ("Log", "is_ready", "scheme_of")

_PATIENCE = 2.0
_LEAST_ERROR = 400
_OVERLAP = 4096
"""Bytes read again, since a line may have been written in two parts."""


def scheme_of(ready: str) -> str:
    """Return how the URL of a command begins."""
    return "http" if ready.startswith("http:") else "tcp"


class Log:
    """What is written to our standard output, by the command too, from now on.

    Args:
        pattern: To look for.
    """

    def __init__(self, pattern: str) -> None:
        self._pattern = re.compile(pattern.encode(), re.MULTILINE)
        self._from = self._at = os.fstat(1).st_size

    def has_it(self) -> bool:
        """Whether what was written matches; False where the log cannot be read."""
        start = max(self._from, self._at - _OVERLAP)
        try:
            with open("/proc/self/fd/1", "rb") as file:
                file.seek(start)
                text = file.read()
        except OSError:
            return False
        self._at = start + len(text)
        return bool(self._pattern.search(text))


async def is_ready(ready: str, port: int, log: Log | None) -> bool:
    """Look once.

    Args:
        ready: As the user wrote it.
        port: Of the command.
        log: For `log:`.
    """
    if log:
        return log.has_it()
    if ready == "tcp":
        return await _connects(port)
    return await asyncio.to_thread(_answers, port, ready.removeprefix("http:"))


async def _connects(port: int) -> bool:
    try:
        async with asyncio.timeout(_PATIENCE):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE)
    try:
        connection.request("GET", path)
        return connection.getresponse().status < _LEAST_ERROR
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
