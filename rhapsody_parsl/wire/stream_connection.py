"""A worker's end of a Unix stream socket: it sends from any thread, and its threads take turns to receive."""

import contextlib
import os
import select
import socket
import threading
from collections import deque
from collections.abc import Sequence

from rhapsody_parsl.wire.inflow import Inflow, pack, send_some
from rhapsody_parsl.wire.malformed import MalformedFrame
from rhapsody_parsl.wire.stream import connected, greeting

__all__ = ("StreamConnection",)

Frames = Sequence[bytes]


class StreamConnection:
    """A worker's end: sends from any thread, receives on one. In a forked child it is closed.

    Args:
        address: The listener's.
        name: Ours.

    Attributes:
        gone: Whether the other end is.
        recv: Takes so many bytes: the socket's own, so that a call of it is none of Python's.
    """

    def __init__(self, address: str, name: str) -> None:
        self._socket = connected(address)
        self._lock = threading.Lock()
        self._posted: deque[list[memoryview]] = deque()
        self._inflow = Inflow(self._socket)
        self._arrived: deque[list[bytes]] = deque()
        self.gone, self.recv = False, self._socket.recv
        os.register_at_fork(after_in_child=self._socket.close)
        self.send(greeting(name, None))

    def fileno(self) -> int:
        """Return the descriptor that is readable when something has arrived, or will never."""
        return self._socket.fileno()

    def send(self, frames: Frames) -> None:
        """Send a message; one to a peer that is gone is dropped, for its end is an event of its own."""
        buffers = deque(pack(frames))
        with self._lock:
            self._send_all(buffers)
        if self._posted:
            self._send_posted()

    def post(self, frames: Frames) -> None:
        """Send a message, without waiting for a thread that sends: that one does it then. It may be this one."""
        self._posted.append(pack(frames))
        self._send_posted()

    def _send_posted(self) -> None:
        while self._posted and self._lock.acquire(blocking=False):
            try:
                while self._posted:
                    self._send_all(deque(self._posted.popleft()))
            finally:
                self._lock.release()

    def _send_all(self, buffers: deque[memoryview]) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while buffers and self._socket.fileno() >= 0:  # it may be closed under us
                try:
                    send_some(self._socket, buffers)
                except BlockingIOError:  # uvloop makes a descriptor that it watches one that never waits
                    self._wait_for_room()

    def _wait_for_room(self) -> None:
        poller = select.poll()
        poller.register(self._socket, select.POLLOUT)
        poller.poll()

    def receive(self) -> list[bytes] | None:
        """Wait for the next message; None when the peer is gone."""
        while not self._arrived and not self.gone:
            self._read(0)
        return self._arrived.popleft() if self._arrived else None

    def receive_nowait(self) -> list[bytes] | None:
        """Return the next message if there is one."""
        if not self._arrived and not self.gone:
            with contextlib.suppress(BlockingIOError):
                self._read(socket.MSG_DONTWAIT)
        return self._arrived.popleft() if self._arrived else None

    def peek(self, *, waits: bool = True) -> list[tuple[list[bytes], int]]:
        """Return messages that stay where they are, each with the number of bytes that end with it.

        Args:
            waits: Whether to wait for some.

        Returns:
            Nothing where only `receive` gets on.
        """
        if self._arrived or self.gone:
            return []
        try:
            return self._inflow.peek(0 if waits else socket.MSG_DONTWAIT)
        except (BlockingIOError, ConnectionResetError, MalformedFrame):  # who receives finds the latter two
            return []

    @property
    def has_arrived(self) -> bool:
        """Whether messages have been read that nobody has received."""
        return bool(self._arrived)

    def wait_gone(self) -> None:
        """Wait for the peer's end, on a thread that does nothing else."""
        poller = select.poll()
        poller.register(self._socket, select.POLLRDHUP)
        poller.poll()

    def close(self) -> None:
        """Close; what was sent still arrives, and a thread that waits here wakes. Idempotent."""
        with self._lock, contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _read(self, flags: int) -> None:
        try:
            self._arrived.extend(self._inflow.read(flags))
        except (EOFError, ConnectionResetError, MalformedFrame):
            self.gone = True
