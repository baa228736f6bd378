"""CurveZMQ, by which ZeroMQ encrypts and authenticates: keys, and who may enter."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import zmq
import zmq.auth
import zmq.utils.monitor
import zmq.utils.z85

__all__ = ("Gatekeeper", "Keys", "connection_events", "quiet_socket")

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
