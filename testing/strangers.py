"""Strangers who bombard a port: with ZeroMQ, without the proof, some under our names; and with bytes of any kind."""

import contextlib
import random
import socket
import struct
import threading
from collections.abc import Iterator, Sequence

import zmq

from testing.mutation import mutated

__all__ = ("bombarded",)

_PAUSE = 0.005
_OPEN = 40
"""Connections of each kind that a stranger keeps."""
_RAW = (
    b"GET / HTTP/1.1\r\n\r\n",
    b"\xff" * 64,
    b"\xff\0\0\0\0\0\0\0\x01\x7f",
    b"\xff\0\0\0\0\0\0\0\1\x7f\3\0NULL",
    b"",
)


class Stranger(threading.Thread):
    """One of them.

    Args:
        port: Of this host.
        names: Whose names it takes.
        seed: Of its dice.
    """

    def __init__(self, port: int, names: Sequence[bytes], seed: int) -> None:
        super().__init__(name=f"stranger {seed}", daemon=True)
        self._port, self._names = port, names
        self._dice = random.Random(seed)  # noqa: S311 - a seed's numbers, no secret
        self._over = threading.Event()
        self.knocks = 0

    def stop(self) -> None:
        """Have it leave, and wait for that."""
        self._over.set()
        self.join()

    def run(self) -> None:
        """Knock until told to leave."""
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        peers: list[zmq.Socket[bytes]] = []
        sockets: list[socket.socket] = []
        while not self._over.wait(_PAUSE):
            peers.append(self._speak(context))
            sockets.append(self._throw())
            self.knocks += 2
            if len(peers) > _OPEN:
                peers.pop(self._dice.randrange(_OPEN)).close()
                sockets.pop(self._dice.randrange(_OPEN)).close()
        for peer in peers:
            peer.close()
        for raw in sockets:
            raw.close()
        context.term()

    def _speak(self, context: "zmq.Context[zmq.Socket[bytes]]") -> "zmq.Socket[bytes]":
        dice, peer = self._dice, context.socket(zmq.DEALER)
        peer.setsockopt(zmq.LINGER, 0)
        peer.setsockopt(zmq.IDENTITY, dice.choice(self._names))
        if dice.randrange(2):
            peer.plain_username, peer.plain_password = b"rhapsody", dice.randbytes(8).hex().encode()
        peer.connect(f"tcp://127.0.0.1:{self._port}")
        header = struct.pack("<BQQ", dice.randrange(4), dice.randrange(3), 0)
        with contextlib.suppress(zmq.Again):  # it has been refused already
            peer.send_multipart([header, *mutated(dice)], zmq.NOBLOCK)
            peer.send_multipart([header], zmq.NOBLOCK)
        return peer

    def _throw(self) -> socket.socket:
        """Connect, send what is no ZeroMQ, or only its beginning, and say nothing more."""
        raw = socket.socket()
        raw.settimeout(1)
        with contextlib.suppress(OSError):
            raw.connect(("127.0.0.1", self._port))
            raw.sendall(self._dice.choice(_RAW))
        return raw


@contextlib.contextmanager
def bombarded(port: int, names: Sequence[bytes], count: int = 2) -> Iterator[list[Stranger]]:
    """Have strangers at a port meanwhile."""
    strangers = [Stranger(port, names, seed) for seed in range(count)]
    for each in strangers:
        each.start()
    try:
        yield strangers
    finally:
        for each in strangers:
            each.stop()
