"""A port that is kept for the ranks of a task to meet at."""

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

__all__ = ("VARIABLE", "Port", "kept_port", "tell_port")

VARIABLE = "MASTER_PORT"
_SHORT = 0.001
"""Seconds: ranks of a task that took less have not met."""
_environ = os.environ
"""The one that there was, whatever a task puts in its place."""
_kept: set[socket.socket] = set()


@contextmanager
def kept_port() -> Iterator[int]:
    """Keep a port that is free; who is told of it may listen there.

    It is bound and does not listen: the kernel gives it to nobody else, and who says SO_REUSEADDR may take it, as
    torch does.

    Yields:
        The port.

    Raises:
        OSError: None is free.
    """
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("", 0))
        _kept.add(sock)
        try:
            yield sock.getsockname()[1]
        finally:
            _kept.discard(sock)


def tell_port(port: int) -> None:
    """Set the variable that tells the task in this process of its port; 0 is none."""
    if port and _environ.get(VARIABLE) != (told := str(port)):
        _environ[VARIABLE] = told


class Port:
    """A port for one task after the other: the next one has another, unless the last was too short to use it."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._number = 0

    def number(self) -> int:
        """Return the port; 0 when none is free: few tasks need one."""
        if not self._number:
            with suppress(OSError):
                self._number = self._stack.enter_context(kept_port())
        return self._number

    def used(self, seconds: float) -> None:
        """A task is over.

        Args:
            seconds: That it took.
        """
        if seconds > _SHORT and self._number:
            self._stack.close()
            self._number = 0


def _close_in_child() -> None:
    for sock in _kept:
        sock.close()


os.register_at_fork(after_in_child=_close_in_child)
