"""The other end of the control socket: asks an executor, and says what to do when it does not answer."""

import os
import socket

import msgspec

from rhapsody_parsl.control.messages import Answer, Refused, Request
from rhapsody_parsl.control.place import Place
from rhapsody_parsl.errors import NoExecutor, RhapsodyError

__all__ = ("answers", "ask")

_TIMEOUT = 30.0
"""Seconds; an order to a service that no pilot takes in is answered within 20."""


def ask(place: Place, request: Request) -> Answer:
    """Return an executor's answer.

    Args:
        place: Where it listens.
        request: What is asked.

    Raises:
        NoExecutor: It does not answer, and why.
        RhapsodyError: It refuses.
    """
    answer: Answer = msgspec.json.decode(_exchange(place, msgspec.json.encode(request)), type=Answer)
    if isinstance(answer, Refused):
        raise RhapsodyError(answer.sentence)
    return answer


def answers(place: Place) -> bool:
    """Whether somebody listens."""
    try:
        _connected(place.socket).close()
    except OSError:
        return False
    return True


def _exchange(place: Place, said: bytes) -> bytes:
    who = f"Executor {place.label} (process {place.pid} on {place.host})"
    if place.host != socket.gethostname():
        raise NoExecutor(f"{who} runs on another host than this", f"Run this command there: ssh {place.host}")
    try:
        with _connected(place.socket) as connection:
            connection.sendall(said)
            connection.shutdown(socket.SHUT_WR)
            answer = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    except PermissionError:
        raise NoExecutor(f"{who} is another user's", "Only the user who started it may ask it") from None
    except TimeoutError:
        raise NoExecutor(f"{who} does not answer within {_TIMEOUT:g} s", _hung(place.pid)) from None
    except (FileNotFoundError, ConnectionRefusedError):
        raise NoExecutor(
            f"{who} is gone",
            "Its logs are still there, and rhapsody-parsl report tells of it; start your script again for a new run",
        ) from None
    except OSError as problem:
        raise NoExecutor(
            f"{who} hung up: {problem}", "Try again; see its log, parsl.log in the run directory"
        ) from None
    if not answer and os.stat(place.socket).st_uid != os.geteuid():
        raise NoExecutor(f"{who} is another user's", "Only the user who started it may ask it")
    if not answer:
        raise NoExecutor(f"{who} hung up", "It serves 32 clients at once: stop some, and try again")
    return answer


def _connected(path: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(_TIMEOUT)
        connection.connect(path)
    except OSError:
        connection.close()
        raise
    return connection


def _hung(pid: int) -> str:
    there = os.path.exists(f"/proc/{pid}")
    return f"Process {pid} is busy or stopped: look at it with py-spy or gdb" if there else "Its process is gone"
