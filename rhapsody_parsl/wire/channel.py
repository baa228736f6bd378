"""Sockets: CurveZMQ keys, the pilot's hub on its event loop, and the blocking end of a worker."""

import asyncio
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import zmq
import zmq.auth
import zmq.utils.monitor
import zmq.utils.z85

from rhapsody_parsl.wire.codec import Codec, encode
from rhapsody_parsl.wire.messages import FromBackend, Message, ToBackend

__all__ = ("Gatekeeper", "Hub", "Keys", "Spoke", "connection_events", "quiet_socket")

ZAP_ENDPOINT = "inproc://zeromq.zap.01"


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
    socket.setsockopt(zmq.HEARTBEAT_IVL, 10_000)  # a peer whose host vanished sends no farewell
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 60_000)
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


class Hub:
    """The pilot's end of a runtime's conversation: one ROUTER on the event loop, peers known by name.

    Args:
        endpoint: Where to bind: `ipc://...` in a private folder, or `tcp://host:*`.
        receive: Called with peer and message for each message that arrives.
        keys: Needed for tcp.
    """

    def __init__(self, endpoint: str, receive: Callable[[str, FromBackend], None], keys: Keys | None = None) -> None:
        self._context: zmq.Context[Any] = zmq.Context()
        self._gate: Gatekeeper | None = None
        self._loop = asyncio.get_running_loop()
        self._receive = receive
        self._codec: Codec[FromBackend] = Codec(FromBackend)
        self._pumping = False
        self._socket = quiet_socket(self._context, zmq.ROUTER)
        self._socket.setsockopt(zmq.ROUTER_HANDOVER, 1)
        if keys:
            self._gate = Gatekeeper(self._context, keys)
            keys.guard(self._socket)
            self._loop.add_reader(self._gate.socket.fileno(), self._gate.answer)
            self._gate.answer()
        self._socket.bind(endpoint)
        self.endpoint = self._socket.get(zmq.LAST_ENDPOINT).decode().rstrip("\0")  # type: ignore[union-attr]  # bytes
        self._fd = self._socket.fileno()
        self._loop.add_reader(self._fd, self._pump)
        self._loop.call_soon(self._pump)  # a ZeroMQ descriptor says nothing before its socket was once found empty

    def send(self, peer: str, message: ToBackend) -> None:
        """Send to a peer; a peer that is gone gets nothing (its end is an event of its own)."""
        self._socket.send_multipart([peer.encode(), *encode(message)], copy=True)
        if not self._pumping:  # ZeroMQ's descriptor is edge-triggered, and a send can swallow the edge
            self._pumping = True
            self._loop.call_soon(self._pump)

    def drain(self) -> None:
        """Deliver what has arrived, now: what a process said before it ended comes before its end."""
        self._pump()

    def _pump(self) -> None:
        self._pumping = False
        if self._socket.closed:
            return
        while True:
            try:
                peer, *frames = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            self._receive(peer.decode(), self._codec.decode(frames))
            if self._is_closed():  # a receiver may do that
                return

    def _is_closed(self) -> bool:
        return bool(self._socket.closed)

    def close(self) -> None:
        """Close the sockets; idempotent."""
        if self._socket.closed:
            return
        self._loop.remove_reader(self._fd)
        self._socket.close()
        if self._gate:
            self._loop.remove_reader(self._gate.socket.fileno())
            self._gate.close()
        self._context.term()


class Spoke:
    """A worker's end: a blocking DEALER with a name.

    Args:
        endpoint: Where the hub is.
        name: Our name; the hub addresses us by it.
        keys: Needed for tcp.
    """

    def __init__(self, endpoint: str, name: str, keys: Keys | None = None) -> None:
        self._context: zmq.Context[Any] = zmq.Context()
        self._codec: Codec[ToBackend] = Codec(ToBackend)
        self.socket = quiet_socket(self._context, zmq.DEALER)
        self.socket.setsockopt(zmq.IDENTITY, name.encode())
        self.socket.setsockopt(zmq.LINGER, 2000)  # last words still leave
        if keys:
            keys.unlock(self.socket)
        self.socket.connect(endpoint)

    def send(self, message: Message) -> None:
        """Send a message."""
        self.socket.send_multipart(encode(message))

    def receive(self) -> ToBackend:
        """Wait for the next message."""
        return self._codec.decode(self.socket.recv_multipart())

    def receive_nowait(self) -> ToBackend | None:
        """Return the next message if there is one."""
        try:
            frames: Sequence[bytes] = self.socket.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return None
        return self._codec.decode(frames)

    def close(self) -> None:
        """Close the socket once what was sent has left (2 s at most)."""
        self.socket.close()
        self._context.term()
