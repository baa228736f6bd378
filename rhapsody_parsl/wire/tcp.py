"""Messages between hosts: ZeroMQ over TCP, encrypted and authenticated when there are keys."""

import asyncio
import contextlib
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import zmq

from rhapsody_parsl.wire.curve import Gatekeeper, Keys, connection_events, quiet_socket

__all__ = ("TcpDoor", "TcpLine", "TcpPeer")

_REPORTS = b"/reports/"
"""A line has two sockets, for one thread may receive while others send: `name` listens, `name/reports/...` sends."""
_LINGER = 2000

Frames = Sequence[bytes]


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


class TcpDoor:
    """The binding end, on an event loop: one ROUTER, peers known by name.

    A line is heard once it can be answered: its two connections are made in any order, and what it reports would else
    be answered to nobody. So the socket that listens says first, in a message of its own, which one reports.

    Args:
        address: `tcp://host` to listen on; a free port is taken.
        receive: Called with the peer's name and the frames of each message.
        keys: Who has them may enter; None: anybody.
        loop: Ours.
        cut: Called when some connection has ended.
    """

    def __init__(
        self,
        address: str,
        receive: Callable[[str, list[bytes]], None],
        keys: Keys | None,
        loop: asyncio.AbstractEventLoop,
        cut: Callable[[], None] | None = None,
    ) -> None:
        self._context: zmq.Context[Any] = zmq.Context()
        self._receive, self._cut = receive, cut
        self._pumps: list[_Pump] = []
        self._answerable: set[bytes] = set()
        self._early: dict[bytes, list[list[bytes]]] = {}
        self._gate = Gatekeeper(self._context, keys) if keys else None
        self._socket = quiet_socket(self._context, zmq.ROUTER)
        self._socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self._socket.setsockopt(zmq.ROUTER_HANDOVER, 1)
        if keys and self._gate:
            keys.guard(self._socket)
            self._pumps.append(_Pump(self._gate.socket, loop, self._gate.answer))
        self._monitor = self._socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        self._pumps.append(_Pump(self._monitor, loop, self._note_cuts))
        self.port = self._socket.bind_to_random_port(address)
        self.endpoint = f"{address}:{self.port}"
        self._pump = _Pump(self._socket, loop, self._take)

    def send(self, peer: str, frames: Frames) -> bool:
        """Send to a peer, never waiting; False when it is not there, and gets nothing."""
        try:
            self._socket.send_multipart([peer.encode(), *frames], zmq.NOBLOCK)
        except zmq.ZMQError:
            return False
        self._pump.due()
        return True

    def drain(self) -> None:
        """Deliver all that has arrived."""
        self._pump.pump()

    def close(self, linger: float = 0.0) -> None:
        """Close the sockets; what was sent has `linger` s to leave. Idempotent."""
        if self._socket.closed:
            return
        self._socket.disable_monitor()
        self._socket.setsockopt(zmq.LINGER, int(linger * 1000))
        for pump in (self._pump, *self._pumps):
            pump.close()
        self._context.term()

    def _take(self) -> None:
        for peer, *frames in _arrived(self._socket):
            match frames:
                case [b"", reports]:
                    self._answerable.add(reports)
                    for early in self._early.pop(reports, []):
                        self._pass_on(reports, early)
                case _ if _REPORTS in peer and peer not in self._answerable:
                    self._early.setdefault(peer, []).append(frames)
                case _:
                    self._pass_on(peer, frames)

    def _pass_on(self, peer: bytes, frames: list[bytes]) -> None:
        self._receive(peer.partition(_REPORTS)[0].decode(errors="replace"), frames)

    def _note_cuts(self) -> None:
        for _ in connection_events(self._monitor):
            if self._cut:
                self._cut()


class TcpPeer:
    """The connecting end, on an event loop.

    Args:
        address: The door's.
        name: Ours.
        keys: The door's.
        loop: Ours.
        receive: Called with the frames of each message.
        connected: Called with True when the connection is there (again), False when it is not.
    """

    def __init__(
        self,
        address: str,
        name: str,
        keys: Keys | None,
        loop: asyncio.AbstractEventLoop,
        receive: Callable[[list[bytes]], None],
        connected: Callable[[bool], None],
    ) -> None:
        self._context: zmq.Context[Any] = zmq.Context()
        self._receive, self._connected = receive, connected
        self._socket = quiet_socket(self._context, zmq.DEALER)
        self._socket.setsockopt(zmq.IDENTITY, name.encode())
        self._socket.setsockopt(zmq.IMMEDIATE, 1)
        if keys:
            keys.unlock(self._socket)
        self._monitor = self._socket.get_monitor_socket(zmq.EVENT_DISCONNECTED | zmq.EVENT_HANDSHAKE_SUCCEEDED)
        self._socket.connect(address)
        self._pump = _Pump(self._socket, loop, self._take)
        self._watch = _Pump(self._monitor, loop, self._note_connection)

    def send(self, frames: Frames) -> bool:
        """Send, never waiting; False when the connection is down."""
        try:
            self._socket.send_multipart(frames, zmq.NOBLOCK)
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
            self._receive(frames)

    def _note_connection(self) -> None:
        for event in connection_events(self._monitor):
            self._connected(event == zmq.EVENT_HANDSHAKE_SUCCEEDED)


class TcpLine:
    """A worker's end: sends from any thread, receives on one.

    It ends with its first connection: ZeroMQ makes a new one, but nobody knows what was lost between the two.

    Args:
        endpoint: The door's.
        name: Ours; the door addresses us by it.
        keys: The door's; None for one that has none.
    """

    def __init__(self, endpoint: str, name: str, keys: Keys | None) -> None:
        self._context: zmq.Context[Any] = zmq.Context()
        self._lock = threading.Lock()
        self._monitors: list[zmq.Socket[bytes]] = []
        self._established: set[zmq.Socket[bytes]] = set()
        self.gone = False
        own = name.encode()
        reports = own + _REPORTS + secrets.token_bytes(4)  # a name comes back when its process is started again
        self._listening = self._connect(endpoint, own, keys)
        self._listening.send_multipart([b"", reports])
        self._reporting = self._connect(endpoint, reports, keys)
        self._poller = _poller(*self._monitors, self._listening)

    def _connect(self, endpoint: str, name: bytes, keys: Keys | None) -> "zmq.Socket[bytes]":
        socket = quiet_socket(self._context, zmq.DEALER)
        socket.setsockopt(zmq.IDENTITY, name)
        socket.setsockopt(zmq.LINGER, _LINGER)  # last words still leave
        if keys:
            keys.unlock(socket)
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
                self._reporting.send_multipart(frames)

    def receive(self) -> list[bytes] | None:
        """Wait for the next message; None when the connection has ended."""
        while not self.gone:
            ready = dict(self._poller.poll())
            self._note_connections()
            if self._listening in ready:
                return self._listening.recv_multipart()
        return None

    def receive_nowait(self) -> list[bytes] | None:
        """Return the next message if there is one."""
        try:
            return self._listening.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return None

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
            for event in connection_events(monitor):
                if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                    self._established.add(monitor)
                elif monitor in self._established:
                    self.gone = True


def _poller(*sockets: "zmq.Socket[bytes]") -> zmq.Poller:
    poller = zmq.Poller()
    for socket in sockets:
        poller.register(socket, zmq.POLLIN)
    return poller
