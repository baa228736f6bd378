"""Bytes between two hosts that know the same word: readable on the way, and refused when anybody changed them.

Standard library only. Both ends prove the word over what each has just drawn. From then on each message carries a tag
over itself, its number and its direction, so none can be replaced, repeated or left out.
"""

import hashlib
import hmac
import os
import socket
import struct

__all__ = ("LONGEST", "Sealed")

LONGEST = 1 << 20
"""Bytes of a message."""
_DRAWN = _TAG = 32
_LENGTH = struct.Struct("<I")
_PROOF, _SESSION = b"proof", b"session"


class Sealed:
    """One end of a connection.

    Args:
        connection: Connected; `close` closes it. Its time-out holds for each part of a message.
        word: What both ends know.
        accepted: Whether this is the end that was connected to; it hears the other one's proof first.

    Raises:
        OSError: The other end is gone, silent or none of ours.
    """

    def __init__(self, connection: socket.socket, word: bytes, *, accepted: bool) -> None:
        self._connection = connection
        drawn = os.urandom(_DRAWN)
        if accepted:
            connection.sendall(drawn)
            other = self._take(_DRAWN)
            both = drawn + other
            self._check(self._take(_TAG), _tag(word, _PROOF, both))
        else:
            other = self._take(_DRAWN)
            both = other + drawn
            connection.sendall(drawn + _tag(word, _PROOF, both))
        self._key = _tag(word, _SESSION, both)
        self._ways = (b"<", b">") if accepted else (b">", b"<")
        self._sent = self._heard = 0

    def send(self, message: bytes) -> None:
        """Send a message of at most `LONGEST` bytes.

        Raises:
            OSError: The other end is gone.
        """
        tag = self._seal(self._ways[0], self._sent, message)
        self._sent += 1
        self._connection.sendall(b"".join((_LENGTH.pack(len(message)), message, tag)))

    def receive(self) -> bytes:
        """Return the next message.

        Raises:
            OSError: The other end is gone or silent, or what came is not what it sent.
        """
        (length,) = _LENGTH.unpack(self._take(_LENGTH.size))
        if length > LONGEST:
            raise ConnectionAbortedError("the other end announces more than it may send")
        message = self._take(length)
        self._check(self._take(_TAG), self._seal(self._ways[1], self._heard, message))
        self._heard += 1
        return message

    def _seal(self, way: bytes, number: int, message: bytes) -> bytes:
        return _tag(self._key, way, number.to_bytes(8, "little") + message)

    def _take(self, length: int) -> bytes:
        data = bytearray(length)
        view, filled = memoryview(data), 0
        while filled < length:
            count = self._connection.recv_into(view[filled:])
            if not count:
                raise ConnectionResetError("the other end is gone")
            filled += count
        return bytes(data)

    def _check(self, said: bytes, right: bytes) -> None:
        if not hmac.compare_digest(said, right):
            raise ConnectionAbortedError("the other end is none of ours, or somebody changed what it said")

    def close(self) -> None:
        """Close the connection; idempotent."""
        self._connection.close()


def _tag(key: bytes, what: bytes, data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=_TAG, key=key, person=what).digest()
