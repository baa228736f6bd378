"""Who may enter a TCP port: whoever proves to be ours, before ZeroMQ takes the first frame from them.

The two kinds of connection differ in the proof alone: `curve.Keys` encrypt too, a `Token` does not. In both ZeroMQ
itself refuses whoever has no proof, so no frame of a stranger arrives anywhere.
"""

import hmac
import secrets
from collections.abc import Sequence
from typing import Any, Protocol

import msgspec
import zmq

from rhapsody_parsl.wire.curve import quiet_socket

__all__ = ("Gatekeeper", "Proof", "Token")

ZAP_ENDPOINT = "inproc://zeromq.zap.01"
_NAME = b"rhapsody"


class Proof(Protocol):
    """What both ends of a line have, and strangers have not."""

    def guard(self, socket: "zmq.Socket[bytes]") -> None:
        """Make a socket the binding end, before it binds."""

    def unlock(self, socket: "zmq.Socket[bytes]") -> None:
        """Make a socket the connecting end, before it connects."""

    def admits(self, mechanism: bytes, credentials: Sequence[bytes]) -> bool:
        """Whether somebody who says this to ZeroMQ is ours."""


class Token(msgspec.Struct, frozen=True):
    """The proof of a connection that is not encrypted: a random word that stands in the block's configuration (0600).

    It travels in clear text, like all else on that connection: it keeps out strangers who reach the port, and not those
    who read the network.

    Attributes:
        word: The word.
    """

    word: str

    @classmethod
    def create(cls) -> "Token":
        """Make a fresh one."""
        return cls(secrets.token_hex(16))

    def guard(self, socket: "zmq.Socket[bytes]") -> None:
        """Make a socket the binding end, before it binds."""
        socket.plain_server = True

    def unlock(self, socket: "zmq.Socket[bytes]") -> None:
        """Make a socket the connecting end, before it connects."""
        socket.plain_username = _NAME
        socket.plain_password = self.word.encode()

    def admits(self, mechanism: bytes, credentials: Sequence[bytes]) -> bool:
        """Whether somebody knows the word."""
        return mechanism == b"PLAIN" and len(credentials) > 1 and self.is_said(credentials[1])

    def is_said(self, word: bytes) -> bool:
        """Whether this is the word; how long that takes tells nothing of it."""
        return hmac.compare_digest(word, self.word.encode())


class Gatekeeper:
    """Answers ZeroMQ's authentication questions (ZAP, RFC 27): only who has the proof may enter.

    Must exist before the sockets of its context bind; the owner of the context's loop calls `answer` when `socket` is
    readable.
    """

    def __init__(self, context: "zmq.Context[Any]", proof: Proof) -> None:
        self._proof = proof
        self.socket = quiet_socket(context, zmq.REP)
        self.socket.bind(ZAP_ENDPOINT)

    def answer(self) -> None:
        """Answer every waiting question."""
        while self.socket.get(zmq.EVENTS) & zmq.POLLIN:  # type: ignore[operator,arg-type]  # EVENTS is an int
            version, number, _domain, _address, _identity, mechanism, *credentials = self.socket.recv_multipart()
            welcome = self._proof.admits(mechanism, credentials)
            status = (b"200", b"OK", _NAME) if welcome else (b"400", b"no proof", b"")
            self.socket.send_multipart([version, number, *status, b""])

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()
