"""A port that is kept for the ranks of a task to meet at."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ("kept_port",)

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


def _close_in_child() -> None:
    for sock in _kept:
        sock.close()


os.register_at_fork(after_in_child=_close_in_child)
