"""Messages between hosts: ZeroMQ over TCP, between those who have the proof of the run (`gate`).

The first frame of each message to a listener says who speaks. ZeroMQ numbers the connections, and nobody chooses a
number: so a name is where it was last heard, and whoever comes again on a new connection takes it along.

Here is what both ends know. `tcp_listener` has the one that binds, `tcp_connection` the one that connects.
"""

import asyncio
from collections.abc import Callable, Sequence

import msgspec
import zmq

__all__ = ("HANG_UP", "MOST_SILENT", "Frames", "Head", "Pump", "decode_head", "encode_head")

HANG_UP = [b""]
"""No message has an empty frame for its only one: the listener says so that it hears a peer no more."""
MOST_SILENT = 512
"""Connections of a listener from which nothing has come."""

Frames = Sequence[bytes]


class Head(msgspec.Struct, array_like=True, frozen=True):
    """Who speaks.

    Attributes:
        name: Its name.
    """

    name: str


encode_head = msgspec.msgpack.Encoder().encode
decode_head = msgspec.msgpack.Decoder(Head).decode


class Pump:
    """A ZeroMQ socket on an event loop. Its descriptor is edge-triggered, and a send can swallow the edge.

    Args:
        socket: Ours alone; `close` closes it.
        loop: Where it is.
        take: Takes all that has arrived.
    """

    def __init__(self, socket: "zmq.Socket[bytes]", loop: asyncio.AbstractEventLoop, take: Callable[[], None]) -> None:
        self._socket, self._loop, self._take = socket, loop, take
        self._due = False
        self._fd = socket.fileno()
        loop.add_reader(self._fd, self.pump)
        self.due()  # the descriptor says nothing before its socket was once found empty

    def due(self) -> None:
        """Look again, soon."""
        if not self._due:
            self._due = True
            self._loop.call_soon(self.pump)

    def pump(self) -> None:
        """Take all that has arrived."""
        self._due = False
        if not self._socket.closed:
            self._take()

    def close(self) -> None:
        """Close the socket."""
        self._loop.remove_reader(self._fd)
        self._socket.close()
