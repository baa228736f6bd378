"""CurveZMQ, by which ZeroMQ encrypts and authenticates: keys; and what all our ZeroMQ sockets share."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import zmq
import zmq.auth
import zmq.utils.monitor
import zmq.utils.z85

__all__ = ("Keys", "connection_events", "quiet_socket")


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
    def fresh(cls) -> "Keys":
        """Make fresh keys, written nowhere."""
        return cls(zmq.curve_keypair(), zmq.curve_keypair())

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

    def admits(self, mechanism: bytes, credentials: Sequence[bytes]) -> bool:
        """Whether somebody has shown to have the client's key."""
        return mechanism == b"CURVE" and credentials[:1] == [zmq.utils.z85.decode(self.client[0])]


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


def connection_events(monitor: "zmq.Socket[bytes]") -> Iterator[tuple[int, int]]:
    """Yield the events that wait in a socket's monitor, each with its value: for most a descriptor."""
    while True:
        try:
            message = zmq.utils.monitor.recv_monitor_message(monitor, zmq.NOBLOCK)
            yield message["event"], message["value"]
        except zmq.Again:
            return
