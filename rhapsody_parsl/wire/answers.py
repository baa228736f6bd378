"""What the process of a task says itself to the process that has submitted the task, past the pilot, on one host.

Each answer is a datagram, to a Unix socket in the private folder. So it comes whole or not at all, and its sender
knows. The kernel keeps a few for a process that does not read, and then there is no room.
"""

import atexit
import contextlib
import functools
import os
import select
import socket

from rhapsody_parsl.wire.codec import INLINE_LIMIT, Codec, encode
from rhapsody_parsl.wire.malformed import MalformedFrame
from rhapsody_parsl.wire.messages import ChildrenEnded

__all__ = ("Answers", "answer")

_LARGEST = 4 * INLINE_LIMIT
"""Bytes of a datagram: there is one result in it, whose payload travels inside the message."""
_codec: Codec[ChildrenEnded] = Codec(ChildrenEnded)


class Answers:
    """Where they come to a process that submits tasks, which also hears the pilot.

    Args:
        path: Of the socket.
        line: Descriptor of the connection to the pilot.

    Attributes:
        recv: Takes the first answer: the socket's own, so that a call of it is none of Python's.

    Raises:
        OSError: There can be no such socket.
    """

    def __init__(self, path: str, line: int) -> None:
        made = _made(path)
        atexit.register(_remove, made, path)  # fresh processes are many, and their folder stays as long as the block
        self.recv, self._descriptor = made.recv, made.fileno()
        self._poller = select.poll()
        self._poller.register(self._descriptor, select.POLLIN)  # first: who has answered and died has answered
        self._poller.register(line, select.POLLIN)

    def first(self, most: int | None = None) -> ChildrenEnded | None:
        """Wait for whatever comes; return an answer, which stays where it is, or None: the pilot has said something.

        Args:
            most: Milliseconds after which it is None, too; None for none.
        """
        while (ready := self._poller.poll(most)) and ready[0][0] == self._descriptor:
            with contextlib.suppress(BlockingIOError):
                try:
                    return _codec.decode([self.recv(_LARGEST, socket.MSG_PEEK)])
                except MalformedFrame:  # none of ours
                    self.recv(1)
        return None


def answer(path: str, message: ChildrenEnded) -> bool:
    """Send an answer, never waiting; False where nobody is there, or has no room: then nothing was sent."""
    try:
        _mouth().sendto(encode(message)[0], path)
    except OSError:
        return False
    return True


@functools.cache
def _mouth() -> socket.socket:
    """Return the socket by which this process answers; made with the first answer."""
    return _made()


def _remove(made: socket.socket, path: str) -> None:
    if made.fileno() >= 0:  # else this is a forked child
        with contextlib.suppress(OSError):
            os.unlink(path)


def _made(path: str = "") -> socket.socket:
    """Return a socket of this process, and of no child that it forks.

    Args:
        path: What to bind it to; "" for nothing.

    Raises:
        OSError: It cannot be.
    """
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        if path:
            made.bind(path)
    except OSError:
        made.close()
        raise
    os.register_at_fork(after_in_child=made.close)
    return made
