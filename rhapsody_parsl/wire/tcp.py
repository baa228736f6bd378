"""Messages between hosts: ZeroMQ over TCP, between those who have the proof of the run (`gate`).

Each message says whose it is: of whom, on the way to a listener, for whom, on the way from it. ZeroMQ numbers the
connections, and nobody chooses a number: so a name is where it was last heard, and whoever comes again on a new
connection takes it along. One connection may have the messages of many names.

Here is what both ends know. `tcp_listener` has the one that binds, `tcp_connection` the one that connects.
"""

import asyncio
from collections.abc import Callable, Sequence

import msgspec
import zmq

from rhapsody_parsl.wire.malformed import MalformedFrame
from rhapsody_parsl.wire.pieces import cut, joined

__all__ = ("MOST_SILENT", "SIGN", "Bundle", "Frames", "Pump", "packed", "unpacked")

MOST_SILENT = 512
"""Connections of a listener from which nothing has come."""

_SMALL = 32 * 1024
"""Bytes of a message that is one frame of ZeroMQ's, with its name and with others: each frame is sealed and opened."""
_FULL = 8 * _SMALL

Frames = Sequence[bytes | memoryview]
Said = tuple[str, list[bytes]]
"""A name, and the frames of a message; none says that the listener hears this name no more."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Said]).decode

SIGN = [_encode([])]
"""A message of nobody: a sign of life."""


def packed(name: str, frames: Frames = ()) -> Frames:
    """Return a message as it travels."""
    if sum(map(len, frames)) <= _SMALL:
        return [_encode([(name, frames)])]
    return [_encode([(name, ())]), *cut(frames)]


def unpacked(arrived: list[bytes]) -> list[Said]:
    """Return the messages that travelled as one.

    Raises:
        MalformedFrame: They are none.
    """
    try:
        said = _decode(arrived[0])
    except Exception as problem:  # as in the codec
        raise MalformedFrame(f"it does not say who it is ({type(problem).__name__})") from problem
    if len(arrived) > 1:
        if not said:
            raise MalformedFrame("frames of nobody arrived")
        said[-1][1].extend(joined(arrived[1:]))
    return said


class Bundle:
    """Messages of many names on one connection: those of one turn of the loop travel as one.

    Args:
        loop: Where that is.
        send: Sends it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, send: Callable[[Frames], object]) -> None:
        self._loop, self._send = loop, send
        self._said: list[tuple[str, Frames]] = []
        self._size = 0

    def add(self, name: str, frames: Frames) -> None:
        """Send a message at the end of this turn; a long one at once, after those before it."""
        size = sum(map(len, frames))
        if size > _SMALL:
            self.flush()
            self._send(packed(name, frames))
            return
        if not self._said:
            self._loop.call_soon(self.flush)
        self._said.append((name, frames))
        self._size += size
        if self._size > _FULL:
            self.flush()

    def flush(self) -> None:
        """Send all."""
        if self._said:
            said, self._said, self._size = self._said, [], 0
            self._send([_encode(said)])


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
