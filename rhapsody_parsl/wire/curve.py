"""Messages over CurveZMQ, encrypted and authenticated: what is said between hosts."""

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import zmq
import zmq.auth
import zmq.utils.monitor
import zmq.utils.z85

__all__ = ("CurveDoor", "CurveLine", "Gatekeeper", "Keys", "connection_events", "quiet_socket")

ZAP_ENDPOINT = "inproc://zeromq.zap.01"

_REPORTS = "/reports"
"""A line has two sockets, for one thread may receive while others send: `name` listens, `name/reports` sends."""
_CUT_GRACE = 10.0
_LINGER = 2000

Frames = Sequence[bytes]


class Keys(msgspec.Struct, frozen=True):
    """CurveZMQ keys of both ends, read from a private folder.

    Attributes:
        server: Public and secret key of the binding end.
        client: Public and secret key of the connecting end.
    """

    server: tuple[bytes, bytes]
    client: tuple[bytes, bytes]

    @classmethod
    def load(cls, folder: Path) -> "Keys":
        """Read `server` and `client` certificates from a folder only its owner can enter.

        Raises:
            PermissionError: Others can enter the folder.
        """
        if os.stat(folder).st_mode & 0o077:
            raise PermissionError(f"{folder} holds keys and must be private: chmod 700 {folder}")
        return cls(_load_pair(folder / "server.key_secret"), _load_pair(folder / "client.key_secret"))

    @classmethod
    def create(cls, folder: Path) -> "Keys":
        """Make the folder and fresh keys in it, readable by the owner only."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        for name in ("server", "client"):
            zmq.auth.create_certificates(folder, name)
            (folder / f"{name}.key_secret").chmod(0o600)
        return cls.load(folder)

    def guard(self, socket: "zmq.Socket[bytes]") -> None:
        """Make a socket the server end, before it binds."""
        socket.curve_secretkey = self.server[1]
        socket.curve_server = True

    def unlock(self, socket: "zmq.Socket[bytes]") -> None:
        """Make a socket the client end, before it connects."""
        socket.curve_serverkey = self.server[0]
        socket.curve_publickey, socket.curve_secretkey = self.client


def _load_pair(path: Path) -> tuple[bytes, bytes]:
    public, secret = zmq.auth.load_certificate(path)
    if secret is None:
        raise ValueError(f"{path} holds no secret key")
    return public, secret


def quiet_socket(context: "zmq.Context[Any]", kind: int) -> "zmq.Socket[bytes]":
    """Return a socket that neither drops messages for want of room nor holds up the process at its end."""
    socket = context.socket(kind)
    socket.setsockopt(zmq.SNDHWM, 0)
    socket.setsockopt(zmq.RCVHWM, 0)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.RECONNECT_IVL, 100)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, 2000)
    return socket  # type: ignore[no-any-return]  # a shadow type in pyzmq's stubs


def connection_events(monitor: "zmq.Socket[bytes]") -> Iterator[int]:
    """Yield the events that wait in a socket's monitor."""
    while True:
        try:
            yield zmq.utils.monitor.recv_monitor_message(monitor, zmq.NOBLOCK)["event"]
        except zmq.Again:
            return


class Gatekeeper:
    """Answers ZeroMQ's authentication questions (ZAP, RFC 27): only our client key may enter.

    Must exist before the sockets of its context bind; the owner of the context's loop calls `answer` when `socket` is
    readable.
    """

    def __init__(self, context: "zmq.Context[Any]", keys: Keys) -> None:
        self._allowed = zmq.utils.z85.decode(keys.client[0])
        self.socket = quiet_socket(context, zmq.REP)
        self.socket.bind(ZAP_ENDPOINT)

    def answer(self) -> None:
        """Answer every waiting question."""
        while self.socket.get(zmq.EVENTS) & zmq.POLLIN:  # type: ignore[operator,arg-type]  # EVENTS is an int
            version, number, _domain, _address, _identity, mechanism, *credentials = self.socket.recv_multipart()
            welcome = mechanism == b"CURVE" and credentials[:1] == [self._allowed]
            status = (b"200", b"OK", b"rhapsody") if welcome else (b"400", b"unknown key", b"")
            self.socket.send_multipart([version, number, *status, b""])

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()


class CurveDoor:
    """The pilot's end on its event loop: one ROUTER, peers known by name.

    Args:
        endpoint: `tcp://host:*`.
        receive: Called with the peer's name and the frames of each message.
        keys: Who has them may enter.
    """

    def __init__(self, endpoint: str, receive: Callable[[str, list[bytes]], None], keys: Keys) -> None:
        self._context: zmq.Context[Any] = zmq.Context()
        self._loop = asyncio.get_running_loop()
        self._receive = receive
        self._pumping = False
        self._socket = quiet_socket(self._context, zmq.ROUTER)
        self._socket.setsockopt(zmq.ROUTER_HANDOVER, 1)
        self._gate = Gatekeeper(self._context, keys)
        keys.guard(self._socket)
        self._loop.add_reader(self._gate.socket.fileno(), self._gate.answer)
        self._gate.answer()
        self._socket.bind(endpoint)
        self.endpoint = self._socket.get(zmq.LAST_ENDPOINT).decode().rstrip("\0")  # type: ignore[union-attr]  # bytes
        self._fd = self._socket.fileno()
        self._loop.add_reader(self._fd, self.drain)
        self._loop.call_soon(self.drain)  # a ZeroMQ descriptor says nothing before its socket was once found empty

    def send(self, peer: str, frames: Frames) -> None:
        """Send to a peer; one that is gone gets nothing."""
        self._socket.send_multipart([peer.encode(), *frames])
        if not self._pumping:  # ZeroMQ's descriptor is edge-triggered, and a send can swallow the edge
            self._pumping = True
            self._loop.call_soon(self.drain)

    def drain(self) -> None:
        """Deliver all that has arrived."""
        self._pumping = False
        while not self._socket.closed:  # a receiver may close us
            try:
                peer, *frames = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            self._receive(peer.decode().removesuffix(_REPORTS), frames)

    def close(self) -> None:
        """Close the sockets; idempotent."""
        if self._socket.closed:
            return
        self._loop.remove_reader(self._fd)
        self._socket.close()
        self._loop.remove_reader(self._gate.socket.fileno())
        self._gate.close()
        self._context.term()


class CurveLine:
    """A worker's end: sends from any thread, receives on one.

    Args:
        endpoint: The door's.
        name: Ours; the door addresses us by it.
        keys: The door's.
    """

    def __init__(self, endpoint: str, name: str, keys: Keys) -> None:
        self._context: zmq.Context[Any] = zmq.Context()
        self._lock = threading.Lock()
        self._listening = self._connect(endpoint, name, keys)
        self._reporting = self._connect(endpoint, name + _REPORTS, keys)
        events = zmq.EVENT_DISCONNECTED | zmq.EVENT_HANDSHAKE_SUCCEEDED
        self._monitor = self._listening.get_monitor_socket(events)
        self._cut_at: float | None = None
        self.gone = False

    def _connect(self, endpoint: str, name: str, keys: Keys) -> "zmq.Socket[bytes]":
        socket = quiet_socket(self._context, zmq.DEALER)
        socket.setsockopt(zmq.IDENTITY, name.encode())
        socket.setsockopt(zmq.LINGER, _LINGER)  # last words still leave
        keys.unlock(socket)
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
        """Wait for the next message; None when the peer has been silent for good."""
        poller = zmq.Poller()
        poller.register(self._listening, zmq.POLLIN)
        poller.register(self._monitor, zmq.POLLIN)
        while not self.gone:
            ready = dict(poller.poll(None if self._cut_at is None else 500))
            if self._monitor in ready:
                self._note_connection()
            if self._listening in ready:
                return self._listening.recv_multipart()
            self.gone = self._cut_at is not None and time.monotonic() - self._cut_at > _CUT_GRACE
        return None

    def receive_nowait(self) -> list[bytes] | None:
        """Return the next message if there is one."""
        try:
            return self._listening.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return None

    def wait_gone(self) -> None:
        """Wait for the peer's end, on a thread that does nothing else while another receives with `receive_nowait`."""
        while not self.gone and self._monitor.poll(None if self._cut_at is None else 500) is not None:
            self._note_connection()
            self.gone = self._cut_at is not None and time.monotonic() - self._cut_at > _CUT_GRACE

    def close(self) -> None:
        """Close the sockets once what was sent has left (2 s at most); idempotent."""
        with self._lock:
            if self._listening.closed:
                return
            self._listening.disable_monitor()
            self._monitor.close()
            self._listening.close()
            self._reporting.close()
            self._context.term()

    def _note_connection(self) -> None:
        for event in connection_events(self._monitor):
            self._cut_at = time.monotonic() if event == zmq.EVENT_DISCONNECTED else None
