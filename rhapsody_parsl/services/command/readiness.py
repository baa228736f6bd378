"""Whether a command is ready: it takes connections, answers over HTTP, has written what it writes then, or is asked."""

import asyncio
import http.client
import os
import re
from collections.abc import Callable
from typing import Any, Protocol

from rhapsody_parsl.ready_word import function_in, way_of
from rhapsody_parsl.telling import bounded, said

__all__ = ("Call", "Http", "Log", "Readiness", "Tcp", "readiness", "scheme_of")

_HOST = "127.0.0.1"
_PATIENCE = 2.0
_CALL_PATIENCE = 10.0
_LEAST_ERROR = 400
_OVERLAP = 4096
"""Bytes read again, since a line may have been written in two parts."""
_MOST_TOLD = 1000


class Readiness(Protocol):
    """One way to see whether a command is ready; each look takes bounded time."""

    async def problem(self, port: int) -> str:
        """Return what is in the way, "" when it is ready.

        Args:
            port: Of the command.
        """


def readiness(ready: str) -> Readiness:
    """Return what looks; what is written counts from now on.

    Args:
        ready: As `ready_word` has it.

    Raises:
        Exception: The user's function cannot be opened.
    """
    way, rest = way_of(ready)
    match way:
        case "http":
            return Http(rest)
        case "log":
            return Log(rest)
        case "call":
            return Call(*function_in(rest))
        case _:
            return Tcp()


def scheme_of(ready: str) -> str:
    """Return how the URL of a command begins."""
    return "http" if ready.startswith("http:") else "tcp"


class Tcp:
    """It takes connections."""

    async def problem(self, port: int) -> str:
        """Connect."""
        try:
            async with asyncio.timeout(_PATIENCE):
                _, writer = await asyncio.open_connection(_HOST, port)
        except OSError as problem:
            return f"no connection to port {port}: {said(problem)}"
        writer.close()
        return ""


class Http:
    """It answers with a status that is no error.

    Args:
        path: That is asked for.
    """

    def __init__(self, path: str) -> None:
        self._path = path

    async def problem(self, port: int) -> str:
        """Ask."""
        return await asyncio.to_thread(self._ask, port)

    def _ask(self, port: int) -> str:
        connection = http.client.HTTPConnection(_HOST, port, timeout=_PATIENCE)
        try:
            connection.request("GET", self._path)
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException) as problem:
            return f"no answer to GET {self._path} at port {port}: {said(problem)}"
        finally:
            connection.close()
        return "" if status < _LEAST_ERROR else f"GET {self._path} is answered with status {status}"


class Log:
    """It has written something to our standard output, from now on.

    Args:
        pattern: To look for.
    """

    def __init__(self, pattern: str) -> None:
        self._pattern = re.compile(pattern, re.MULTILINE)
        self._from = self._at = os.fstat(1).st_size

    async def problem(self, port: int) -> str:
        """Read on; a log that cannot be read has nothing in it."""
        start = max(self._from, self._at - _OVERLAP)
        text = b""
        try:
            with open("/proc/self/fd/1", "rb") as file:
                file.seek(start)
                text = file.read()
        except OSError:
            pass
        self._at = max(self._at, start + len(text))
        return "" if self._pattern.search(text.decode(errors="replace")) else "it has not written what ready= names"


class Call:
    """A function of the user's says so.

    Args:
        name: Of the function, for people.
        function: Called in a thread with host and port, one call at a time; true means ready.
        patience: Seconds until a call that has not returned counts as a no.
    """

    def __init__(self, name: str, function: Callable[..., Any], patience: float = _CALL_PATIENCE) -> None:
        self._name, self._function, self._patience = name, function, patience
        self._running: asyncio.Future[str] | None = None

    async def problem(self, port: int) -> str:
        """Call it, or wait on for a call that has not returned."""
        if self._running is None:
            self._running = asyncio.ensure_future(asyncio.to_thread(self._call, port))
        await asyncio.wait({self._running}, timeout=self._patience)
        if not self._running.done():
            return f"ready={self._name} has not returned within {self._patience:g} s"
        told, self._running = self._running.result(), None
        return told

    def _call(self, port: int) -> str:
        try:
            if value := self._function(_HOST, port):
                return ""
            return bounded(f"ready={self._name} returned {value!r}", _MOST_TOLD)
        except BaseException as problem:  # noqa: BLE001 - the user's function: until a server is up, most raise
            return bounded(f"ready={self._name} raised {said(problem)}", _MOST_TOLD)
