"""Messages between hosts: ZeroMQ over TCP, between those who have the proof of the run (`gate`).

The first frame of each message to a listener says who speaks. ZeroMQ numbers the connections, and nobody chooses a
number: so a name is where it was last heard, and whoever comes again on a new connection takes it along.
"""

import asyncio
import contextlib
import logging
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import zmq

from rhapsody_parsl.wire.codec import MalformedFrame
from rhapsody_parsl.wire.complaints import Complaints
from rhapsody_parsl.wire.curve import connection_events, quiet_socket
from rhapsody_parsl.wire.gate import Gatekeeper, Proof
from rhapsody_parsl.wire.half_open import HalfOpen
from rhapsody_parsl.wire.pieces import LONGEST, cut, joined

__all__ = ("CONNECTIONS", "MOST_SILENT", "AsyncTcpConnection", "TcpConnection", "TcpListener")

log = logging.getLogger(__name__)

_LINGER = 2000
_HANG_UP = [b""]
"""No message has an empty frame for its only one: the listener says so that it hears a peer no more."""
CONNECTIONS = 2
"""Of a line."""
MOST_SILENT = 512
"""Connections of a listener from which nothing has come."""
_CUT_PAUSE = 0.05
"""Seconds between the end of a connection and the question whose it was: a stranger's ends may be many."""
_REFUSED = zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
_LONGEST_SEALED = LONGEST + 256
"""Bytes of a frame with what its encryption adds."""

Frames = Sequence[bytes]


class _Head(msgspec.Struct, array_like=True, frozen=True):
    """Who speaks.

    Attributes:
        name: Its name.
        life: Which of the processes that have the name one after the other.
        listens: Whether answers go to this connection; a line has another one for what it reports, for one thread may
            receive while others send.
    """

    name: str
    life: bytes = b""
    listens: bool = True


_encode_head = msgspec.msgpack.Encoder().encode
_decode_head = msgspec.msgpack.Decoder(_Head).decode


def _arrived(socket: "zmq.Socket[bytes]") -> Iterator[list[bytes]]:
    """Yield the messages that wait."""
    with contextlib.suppress(zmq.Again):
        while not socket.closed:  # whoever takes one may close it
            yield socket.recv_multipart(zmq.NOBLOCK)


class _Pump:
    """A ZeroMQ socket on an event loop. Its descriptor is edge-triggered, and a send can swallow the edge."""

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


class TcpListener:
    """The binding end, on an event loop: one ROUTER, peers known by name.

    A line is heard once it can be answered: its two connections are made in any order, and what it reports would else
    be answered to nobody. What comes before waits.

    Args:
        address: `tcp://host` to listen on; a free port is taken.
        receive: Called with the peer's name and the frames of each message; it raises `MalformedFrame` about frames
            that are none, and the peer is heard no more.
        proof: Who has it may enter.
        loop: Ours.
        cut: Called when some connection has ended.
        silent: How many connections may be there from which nothing has come.
    """

    def __init__(
        self,
        address: str,
        receive: Callable[[str, list[bytes]], None],
        proof: Proof,
        loop: asyncio.AbstractEventLoop,
        cut: Callable[[], None] | None = None,
        silent: int = MOST_SILENT,
    ) -> None:
        self._context: zmq.Context[Any] = zmq.Context()
        self._receive, self._on_cut, self._loop = receive, cut, loop
        self._cut_timer: asyncio.TimerHandle | None = None
        self._routes: dict[str, tuple[bytes, bytes]] = {}  # of each name the life and the connection
        self._early: dict[tuple[str, bytes], list[list[bytes]]] = {}
        self._complaints = Complaints(log)
        self._gate = Gatekeeper(self._context, proof)
        self._socket = quiet_socket(self._context, zmq.ROUTER)
        self._socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        proof.guard(self._socket)
        self._socket.setsockopt(zmq.MAXMSGSIZE, _LONGEST_SEALED)
        self._monitor = self._socket.get_monitor_socket(zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED | _REFUSED)
        self._pumps = [
            _Pump(self._gate.socket, loop, self._gate.answer),
            _Pump(self._monitor, loop, self._note_connections),
        ]
        self.port = self._socket.bind_to_random_port(address)
        self.endpoint = f"{address}:{self.port}"
        self._half_open = HalfOpen(self.port, silent)
        self._pump = _Pump(self._socket, loop, self._take)

    def send(self, peer: str, frames: Frames) -> bool:
        """Send to a peer, never waiting; False when it is not there, and gets nothing."""
        route = self._routes.get(peer)
        if route is None:
            return False
        try:
            self._socket.send_multipart([route[1], *cut(frames)], zmq.NOBLOCK)
        except zmq.ZMQError:
            return False
        self._pump.due()
        return True

    def forget(self, peer: str) -> None:
        """A peer is gone for good: of the many that come in a long run nothing is kept."""
        self._routes.pop(peer, None)
        for early in [key for key in self._early if key[0] == peer]:
            del self._early[early]

    def drain(self) -> None:
        """Deliver all that has arrived."""
        self._pump.pump()

    def close(self, linger: float = 0.0) -> None:
        """Close the sockets; what was sent has `linger` s to leave. Idempotent."""
        if self._socket.closed:
            return
        if self._cut_timer:
            self._cut_timer.cancel()
        self._socket.disable_monitor()
        self._socket.setsockopt(zmq.LINGER, int(linger * 1000))
        for pump in (self._pump, *self._pumps):
            pump.close()
        self._context.term()

    def _take(self) -> None:
        for connection, frames in self._arrived():
            try:
                self._hear(connection, joined(frames))
            except MalformedFrame as problem:
                self._complaints.note("a peer over TCP is heard no more: %s", problem)
                with contextlib.suppress(zmq.ZMQError):
                    self._socket.send_multipart([connection, *_HANG_UP], zmq.NOBLOCK)

    def _arrived(self) -> Iterator[tuple[bytes, list[bytes]]]:
        """Yield the messages that wait, and the connection of each."""
        with contextlib.suppress(zmq.Again):
            while not self._socket.closed:  # whoever takes one may close it
                first = self._socket.recv(zmq.NOBLOCK, copy=False)
                connection = first.bytes
                if not self._half_open.knows(connection):
                    self._note_connections()  # it has come before it spoke
                    self._half_open.spoke(connection, first.get(zmq.SRCFD))
                yield connection, self._socket.recv_multipart(zmq.NOBLOCK)

    def _hear(self, connection: bytes, frames: list[bytes]) -> None:
        head, body = _head_of(frames), frames[1:]
        if head.listens:
            self._routes[head.name] = head.life, connection
            for early in self._early.pop((head.name, head.life), []) if self._early else ():
                self._receive(head.name, early)
        elif self._routes.get(head.name, ("",))[0] != head.life:
            self._early.setdefault((head.name, head.life), []).append(body)
            return
        if body:
            self._receive(head.name, body)

    def _note_connections(self) -> None:
        for event, value in connection_events(self._monitor):
            if event & _REFUSED:
                self._complaints.note("a stranger on %s was refused", self.endpoint)
            elif event == zmq.EVENT_ACCEPTED:
                if self._half_open.came(value):
                    self._complaints.note("a silent stranger on %s was cut off: too many wait there", self.endpoint)
            else:
                self._ended(value)

    def _ended(self, descriptor: int) -> None:
        self._half_open.left(descriptor)
        if self._on_cut and self._cut_timer is None:
            self._cut_timer = self._loop.call_later(_CUT_PAUSE, self._tell_cut)

    def _tell_cut(self) -> None:
        self._cut_timer = None
        if self._on_cut:
            self._on_cut()


def _head_of(frames: list[bytes]) -> _Head:
    try:
        return _decode_head(frames[0])
    except Exception as problem:  # as in the codec
        raise MalformedFrame(f"it does not say who it is ({type(problem).__name__})") from problem


def _whole(pieces: list[bytes]) -> list[bytes] | None:
    """Return the frames of what a listener says; None when it is no message, and the listener none of ours."""
    try:
        return joined(pieces)
    except MalformedFrame as problem:
        log.warning("the other end is heard no more: %s", problem)
        return None


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

    def __init__(  # noqa: PLR0913, PLR0917 - as many facts, each from somewhere else
        self,
        address: str,
        name: str,
        proof: Proof,
        loop: asyncio.AbstractEventLoop,
        receive: Callable[[list[bytes]], None],
        connected: Callable[[bool], None],
        hung_up: Callable[[], None],
    ) -> None:
        self._context: zmq.Context[Any] = zmq.Context()
        self._receive, self._connected, self._hung_up = receive, connected, hung_up
        self._head = _encode_head(_Head(name))
        self._socket = quiet_socket(self._context, zmq.DEALER)
        self._socket.setsockopt(zmq.IMMEDIATE, 1)
        proof.unlock(self._socket)
        self._monitor = self._socket.get_monitor_socket(zmq.EVENT_DISCONNECTED | zmq.EVENT_HANDSHAKE_SUCCEEDED)
        self._socket.connect(address)
        self._pump = _Pump(self._socket, loop, self._take)
        self._watch = _Pump(self._monitor, loop, self._note_connection)

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
            if frames != _HANG_UP and (whole := _whole(frames)) is not None:
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
        self._head = _encode_head(_Head(name, life, listens=False))
        self._listening = self._connect(endpoint, proof)
        self._listening.send(_encode_head(_Head(name, life)))
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
        whole = _whole(frames) if frames != _HANG_UP else None
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


def _poller(*sockets: "zmq.Socket[bytes]") -> zmq.Poller:
    poller = zmq.Poller()
    for socket in sockets:
        poller.register(socket, zmq.POLLIN)
    return poller
