"""The connecting ends of messages between hosts (see `tcp`)."""

import asyncio
import contextlib
import logging
import secrets
import threading
from collections.abc import Callable, Iterator
from typing import Any

import zmq

from rhapsody_parsl.wire.curve import connection_events, quiet_socket
from rhapsody_parsl.wire.gate import Proof
from rhapsody_parsl.wire.malformed import MalformedFrame
from rhapsody_parsl.wire.pieces import cut, joined
from rhapsody_parsl.wire.tcp import HANG_UP, Frames, Head, Pump, encode_head

__all__ = ("AsyncTcpConnection", "TcpConnection")

log = logging.getLogger(__name__)

_LINGER = 2000
"""Milliseconds."""


class AsyncTcpConnection:
    """The connecting end, on an event loop.

    Args:
        address: The listener's.
        name: Ours.
        proof: The listener's.
        loop: Ours.
        receive: Called with the frames of each message.
        connected: Called with True when the connection is there (again), False when it is not.
        hung_up: Called when the listener will hear us no more.
    """

    def __init__(  # noqa: PLR0913 - as many facts, each from somewhere else
        self,
        address: str,
        name: str,
        proof: Proof,
        loop: asyncio.AbstractEventLoop,
        *,
        receive: Callable[[list[bytes]], None],
        connected: Callable[[bool], None],
        hung_up: Callable[[], None],
    ) -> None:
        self._context: zmq.Context[Any] = zmq.Context()
        self._receive, self._connected, self._hung_up = receive, connected, hung_up
        self._head = encode_head(Head(name))
        self._socket = quiet_socket(self._context, zmq.DEALER)
        self._socket.setsockopt(zmq.IMMEDIATE, 1)
        proof.unlock(self._socket)
        self._monitor = self._socket.get_monitor_socket(zmq.EVENT_DISCONNECTED | zmq.EVENT_HANDSHAKE_SUCCEEDED)
        self._socket.connect(address)
        self._pump = Pump(self._socket, loop, self._take)
        self._watch = Pump(self._monitor, loop, self._note_connection)

    def send(self, frames: Frames) -> bool:
        """Send, never waiting; False when the connection is down."""
        try:
            self._socket.send_multipart([self._head, *cut(frames)], zmq.NOBLOCK)
        except zmq.Again:
            return False
        self._pump.due()
        return True

    def close(self, linger: float = 0.0) -> None:
        """Close; what was sent has `linger` s to leave. Idempotent."""
        if self._socket.closed:
            return
        self._socket.setsockopt(zmq.LINGER, int(linger * 1000))
        self._socket.disable_monitor()
        self._watch.close()
        self._pump.close()
        self._context.term()

    def _take(self) -> None:
        for frames in _arrived(self._socket):
            if frames != HANG_UP and (whole := _whole(frames)) is not None:
                self._receive(whole)
            else:
                self._hung_up()

    def _note_connection(self) -> None:
        for event, _ in connection_events(self._monitor):
            self._connected(event == zmq.EVENT_HANDSHAKE_SUCCEEDED)


class TcpConnection:
    """A worker's end: sends from any thread, receives on one.

    It ends with its first connection: ZeroMQ makes a new one, but nobody knows what was lost between the two.

    Args:
        endpoint: The listener's.
        name: Ours; the listener addresses us by it.
        proof: The listener's.
    """

    def __init__(self, endpoint: str, name: str, proof: Proof) -> None:
        self._context: zmq.Context[Any] = zmq.Context()
        self._lock = threading.Lock()
        self._monitors: list[zmq.Socket[bytes]] = []
        self._established: set[zmq.Socket[bytes]] = set()
        self.gone = False
        life = secrets.token_bytes(4)  # a name comes back when its process is started again
        self._head = encode_head(Head(name, life, listens=False))
        self._listening = self._connect(endpoint, proof)
        self._listening.send(encode_head(Head(name, life)))
        self._reporting = self._connect(endpoint, proof)
        self._poller = _poller(*self._monitors, self._listening)

    def _connect(self, endpoint: str, proof: Proof) -> "zmq.Socket[bytes]":
        socket = quiet_socket(self._context, zmq.DEALER)
        socket.setsockopt(zmq.LINGER, _LINGER)  # last messages still leave
        proof.unlock(socket)
        self._monitors.append(socket.get_monitor_socket(zmq.EVENT_DISCONNECTED | zmq.EVENT_HANDSHAKE_SUCCEEDED))
        socket.connect(endpoint)
        return socket

    def fileno(self) -> int:
        """Return the descriptor to watch; it is edge-triggered: take all there is when it is readable."""
        return int(self._listening.fileno())

    def send(self, frames: Frames) -> None:
        """Send a message."""
        with self._lock:
            if not self._reporting.closed:
                self._reporting.send_multipart([self._head, *cut(frames)])

    def receive(self) -> list[bytes] | None:
        """Wait for the next message; None when the connection has ended."""
        while not self.gone:
            ready = dict(self._poller.poll())
            self._note_connections()
            if self._listening in ready:
                return self._heard(self._listening.recv_multipart())
        return None

    def receive_nowait(self) -> list[bytes] | None:
        """Return the next message if there is one."""
        try:
            return self._heard(self._listening.recv_multipart(zmq.NOBLOCK))
        except zmq.Again:
            return None

    def _heard(self, frames: list[bytes]) -> list[bytes] | None:
        whole = _whole(frames) if frames != HANG_UP else None
        self.gone |= whole is None
        return whole

    def wait_gone(self) -> None:
        """Wait for the peer's end, on a thread that does nothing else while another receives with `receive_nowait`."""
        poller = _poller(*self._monitors)
        while not self.gone:
            poller.poll()
            self._note_connections()

    def close(self) -> None:
        """Close the sockets once what was sent has left (2 s at most); idempotent."""
        with self._lock:
            if self._listening.closed:
                return
            for socket, monitor in zip((self._listening, self._reporting), self._monitors, strict=True):
                socket.disable_monitor()
                monitor.close()
                socket.close()
            self._context.term()

    def _note_connections(self) -> None:
        """See whether one has ended; a handshake that failed is none, and is tried again."""
        for monitor in self._monitors:
            for event, _ in connection_events(monitor):
                if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                    self._established.add(monitor)
                elif monitor in self._established:
                    self.gone = True


def _arrived(socket: "zmq.Socket[bytes]") -> Iterator[list[bytes]]:
    """Yield the messages that wait."""
    with contextlib.suppress(zmq.Again):
        while not socket.closed:  # whoever takes one may close it
            yield socket.recv_multipart(zmq.NOBLOCK)


def _whole(pieces: list[bytes]) -> list[bytes] | None:
    """Return the frames of what a listener says; None when it is no message, and the listener none of ours."""
    try:
        return joined(pieces)
    except MalformedFrame as problem:
        log.warning("the other end is heard no more: %s", problem)
        return None


def _poller(*sockets: "zmq.Socket[bytes]") -> zmq.Poller:
    poller = zmq.Poller()
    for socket in sockets:
        poller.register(socket, zmq.POLLIN)
    return poller
