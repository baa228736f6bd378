"""Messages over a Unix stream socket: what the block's processes on one host say to each other.

Measured beside ZeroMQ's `ipc` (two processes, 200 bytes there and back): 40 µs against 90, for no thread stands between
the two ends.
"""

import contextlib
import logging
import os
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rhapsody_parsl.wire.complaints import Complaints
from rhapsody_parsl.wire.inflow import LARGEST, Inflow, pack, send_some
from rhapsody_parsl.wire.malformed import MalformedFrame

if TYPE_CHECKING:  # half of the start of a worker, which has no loop and no proof
    import asyncio

    from rhapsody_parsl.wire.gate import Token

__all__ = ("AsyncStreamConnection", "StreamListener", "connected", "greeting", "reachable")

log = logging.getLogger(__name__)

_SHUT = 0.5
"""Seconds."""

Frames = Sequence[bytes]

_CREDENTIALS = struct.Struct("3i")
_ABSTRACT = "@"
_LARGEST_GREETING = 4096
"""Bytes of a peer's first message, which says who speaks."""


_complaints = Complaints(log)


def greeting(name: str, token: "Token | None") -> list[bytes]:
    """Return the first message to a listener."""
    return [name.encode(), token.word.encode() if token else b""]


class AsyncStreamConnection:
    """One end of a connection on an event loop; any thread sends.

    Args:
        connection: Connected.
        loop: Ours.
        receive: Called with the frames of each message; it raises `MalformedFrame` about frames that are none, which is
            the end of the connection.
        ended: Called once, when the other end is gone and all it said was delivered.
        first: Bytes that the first message may have.
    """

    def __init__(
        self,
        connection: socket.socket,
        loop: "asyncio.AbstractEventLoop",
        *,
        receive: Callable[[list[bytes]], None],
        ended: Callable[[], None],
        first: int = LARGEST,
    ) -> None:
        connection.setblocking(False)
        self._socket, self._loop, self._receive, self._ended = connection, loop, receive, ended
        self._lock = threading.Lock()
        self._inflow = Inflow(connection, first)
        self._outgoing: deque[memoryview] = deque()
        loop.add_reader(connection.fileno(), self.read)

    @classmethod
    def connect(
        cls,
        address: str,
        name: str,
        token: "Token | None",
        loop: "asyncio.AbstractEventLoop",
        *,
        receive: Callable[[list[bytes]], None],
        ended: Callable[[], None],
    ) -> "AsyncStreamConnection":
        """Connect to a listener under a name, with its token if it has one.

        Raises:
            OSError: Nobody is there, or not one of us.
        """
        peer = cls(connected(address), loop, receive=receive, ended=ended)
        peer.send(greeting(name, token))
        return peer

    @property
    def closed(self) -> bool:
        """Whether this end is closed."""
        return self._socket.fileno() < 0

    def send(self, frames: Frames) -> bool:
        """Send, never waiting; False when the other end is gone."""
        with self._lock:
            idle = not self._outgoing
            self._outgoing.extend(pack(frames))
            return not idle or self._write()

    def read(self) -> bool:
        """Deliver what one call of the kernel gives; False when there was nothing."""
        try:
            messages = self._inflow.read()
        except BlockingIOError:
            return False
        except (EOFError, ConnectionResetError):
            self._leave()
            return False
        except MalformedFrame as problem:
            self._refuse(problem)
            return False
        try:
            for frames in messages:
                if not self.closed:  # a receiver may close us
                    self._receive(frames)
        except MalformedFrame as problem:
            self._refuse(problem)
        return not self.closed

    def hold(self, held: bool) -> None:
        """Read nothing more, or go on: meanwhile the kernel holds a little, and then the other end waits."""
        if self.closed:
            return
        if held:
            self._loop.remove_reader(self._socket.fileno())
        else:
            self._loop.add_reader(self._socket.fileno(), self.read)

    def _refuse(self, problem: MalformedFrame) -> None:
        _complaints.note("a peer on this host is heard no more: %s", problem)
        self._leave()

    def _leave(self) -> None:
        self.close()
        self._ended()

    def close(self, linger: float = 0.0) -> None:
        """Close; what the kernel has taken still arrives, and it has `linger` s to take the rest. Idempotent."""
        with self._lock:
            if self.closed:
                return
            self._loop.remove_reader(self._socket.fileno())
            self._loop.remove_writer(self._socket.fileno())
            with contextlib.suppress(OSError):
                self._socket.settimeout(linger)
                while self._outgoing:
                    send_some(self._socket, self._outgoing)
            self._socket.close()

    def _write(self) -> bool:
        try:
            while self._outgoing:
                send_some(self._socket, self._outgoing)
        except BlockingIOError:
            self._loop.call_soon_threadsafe(self._wait_for_room)
        except OSError:  # gone; what it said before its end is still to be read
            self._outgoing.clear()
            return False
        return True

    def _wait_for_room(self) -> None:
        if not self.closed:
            self._loop.add_writer(self._socket.fileno(), self._write_more)

    def _write_more(self) -> None:
        self._loop.remove_writer(self._socket.fileno())
        with self._lock:
            self._write()


class StreamListener:
    """The listening end, on an event loop; peers are known by the name that is their first message.

    Args:
        address: Path of a socket in a folder that only we can enter, or `@name` without one, where the kernel tells
            us who knocks and we let in processes of our user alone.
        receive: Called with the peer's name and the frames of each message; it raises `MalformedFrame` about frames
            that are none, and the peer is heard no more.
        loop: Ours.
        ended: Called with the name of a peer that is gone, once all it said was delivered.
        token: Who knows it may have a name; None: whoever comes, for the folder is ours.
    """

    def __init__(
        self,
        address: str,
        receive: Callable[[str, list[bytes]], None],
        loop: "asyncio.AbstractEventLoop",
        *,
        ended: Callable[[str], None] | None = None,
        token: "Token | None" = None,
    ) -> None:
        self._address, self._receive, self._loop, self._on_end = address, receive, loop, ended
        self._token, self._held = token, False
        self._peers: dict[str, AsyncStreamConnection] = {}
        self._names: dict[AsyncStreamConnection, str] = {}  # in order of arrival: the newest of a name counts
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self._listener.bind(_kernel_name(address))
        self._listener.listen(1024)
        self._open()

    def send(self, peer: str, frames: Frames) -> bool:
        """Send to a peer, never waiting; False when it is not there, and gets nothing."""
        known = self._peers.get(peer)
        return known is not None and known.send(frames)

    def hold(self, held: bool) -> None:
        """Hear nobody for a while, or go on."""
        self._held = held
        for peer in self._names:
            peer.hold(held)

    def hang_up(self, peer: str) -> None:
        """Hear a peer no more."""
        if known := self._peers.get(peer):
            known.close()
            self._end(known)

    def drain(self) -> None:
        """Deliver all that has arrived."""
        self._accept()
        for peer in list(self._names):
            while peer in self._names and peer.read():
                pass

    def close(self) -> None:
        """Close every connection and remove the socket; idempotent."""
        if self._listener.fileno() < 0:
            return
        self._loop.remove_reader(self._listener.fileno())
        self._listener.close()
        if not self._address.startswith(_ABSTRACT):
            Path(self._address).unlink(missing_ok=True)
        for peer in self._names:
            peer.close()
        self._names.clear()
        self._peers.clear()

    def _accept(self) -> None:
        try:
            while self._listener.fileno() >= 0:
                connection, _ = self._listener.accept()
                if _user_of(connection) == os.geteuid():
                    self._admit(connection)
                else:
                    connection.close()
        except BlockingIOError:
            return
        except OSError as problem:  # no descriptor or no memory is left: whoever knocks waits
            log.warning("%s lets nobody in for %g s: %s", self._address, _SHUT, problem)
            self._loop.remove_reader(self._listener.fileno())
            self._loop.call_later(_SHUT, self._open)

    def _open(self) -> None:
        if self._listener.fileno() >= 0:
            self._loop.add_reader(self._listener.fileno(), self._accept)

    def _admit(self, connection: socket.socket) -> None:
        peer = AsyncStreamConnection(
            connection,
            self._loop,
            receive=lambda frames: self._take(peer, frames),
            ended=lambda: self._end(peer),
            first=_LARGEST_GREETING,
        )
        self._names[peer] = ""
        if self._held:
            peer.hold(True)

    def _take(self, peer: AsyncStreamConnection, frames: list[bytes]) -> None:
        if name := self._names.get(peer):
            self._receive(name, frames)
        else:
            name = self._names[peer] = self._name_of(frames)
            self._peers[name] = peer

    def _name_of(self, frames: list[bytes]) -> str:
        """Return who speaks for the first time.

        Raises:
            MalformedFrame: It does not say so, or cannot prove it.
        """
        if len(frames) != len(greeting("", None)) or not frames[0]:
            raise MalformedFrame("it does not say who it is")
        if self._token and not self._token.is_said(frames[1]):
            raise MalformedFrame("it does not know the word of the block's configuration")
        return frames[0].decode(errors="replace")

    def _end(self, peer: AsyncStreamConnection) -> None:
        name = self._names.pop(peer, "")
        if self._peers.get(name) is peer:
            del self._peers[name]
            if self._on_end:
                self._on_end(name)


def connected(address: str) -> socket.socket:
    """Return a socket connected to a listener of our own user.

    Raises:
        OSError: Nobody is there.
        ConnectionRefusedError: It is another user's.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(_kernel_name(address))
        if _user_of(connection) != os.geteuid():
            raise ConnectionRefusedError(f"{address} is another user's")
    except OSError:
        connection.close()
        raise
    return connection


def reachable(address: str) -> bool:
    """Whether a listener of our own user opens."""
    try:
        connected(address).close()
    except OSError:
        return False
    return True


def _kernel_name(address: str) -> str:
    return "\0" + address.removeprefix(_ABSTRACT) if address.startswith(_ABSTRACT) else address


def _user_of(connection: socket.socket) -> int:
    """Return the user at the other end, as the kernel knows it."""
    return _CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))[1]  # type: ignore[no-any-return]  # an int
