"""Connections from which nothing has come: so many and no more, for each takes a descriptor of a process of ours.

ZeroMQ gives a connection half a minute to prove to be ours. A stranger who opens thousands meanwhile would leave none
for anybody else, and in the driver none for the user's program. So the oldest is cut off for the next. One of ours that
is cut off before it has spoken comes again.
"""

import contextlib
import resource
import socket

__all__ = ("HalfOpen",)


class HalfOpen:
    """The connections of one port.

    Args:
        port: Ours.
        most: How many may be silent at once; half of the open files that we may have is a limit too.
    """

    def __init__(self, port: int, most: int) -> None:
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self._port = port
        self._most = most if files == resource.RLIM_INFINITY else min(most, files // 2)
        self._silent: dict[int, None] = {}  # descriptors, the oldest first
        self._heard: dict[bytes, int] = {}
        self._names: dict[int, bytes] = {}

    def knows(self, connection: bytes) -> bool:
        """Whether something has come from a connection of ZeroMQ's number."""
        return connection in self._heard

    def came(self, descriptor: int) -> bool:
        """Note a new connection; return whether another one was cut off for it."""
        self._silent[descriptor] = None
        if len(self._silent) <= self._most:
            return False
        oldest = next(iter(self._silent))
        del self._silent[oldest]
        self._cut_off(oldest)
        return True

    def spoke(self, connection: bytes, descriptor: int) -> None:
        """Note that something has come."""
        if descriptor in self._silent:  # else it is over already
            del self._silent[descriptor]
            self._heard[connection], self._names[descriptor] = descriptor, connection

    def left(self, descriptor: int) -> None:
        """Note the end of a connection."""
        self._silent.pop(descriptor, None)
        self._heard.pop(self._names.pop(descriptor, b""), None)

    def _cut_off(self, descriptor: int) -> None:
        """Shut a connection down; ZeroMQ closes it then.

        ZeroMQ may have closed it already, and the number may be another file's: only a connection of our port is
        touched.
        """
        with contextlib.suppress(OSError):
            connection = socket.socket(fileno=descriptor)
            try:
                listens = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
                if not listens and connection.getsockname()[1:2] == (self._port,):
                    connection.shutdown(socket.SHUT_RDWR)
            finally:
                connection.detach()
