"""Large messages between two hosts that know the same word: AES-GCM over TCP, which processors encrypt in hardware.

Both ends draw a key for this connection (X25519). From what they have in common then, and from the word, each gets two
keys, one for each direction. So who does not know the word can say and read nothing, and who learns it later cannot
read what was recorded. Messages are counted by their nonces: none can be changed, repeated or left out.
"""

import asyncio
import hashlib
import socket
import struct
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

__all__ = ("Encrypted",)

_PUBLIC, _KEY, _TAG = 32, 32, 16
_LENGTH = struct.Struct("<I")
_PURPOSE = b"values"


class Encrypted:
    """One end of a connection, on the running event loop. What one end says first proves that it knows the word.

    Args:
        connection: Connected, and never waiting; it stays the caller's.
        seals: What we send with.
        opens: What we read with.

    Attributes:
        LONGEST: Bytes of a message.
        came: Called when a part of a message has come.
    """

    LONGEST = 1 << 20

    def __init__(self, connection: socket.socket, seals: AESGCM, opens: AESGCM) -> None:
        self._connection, self._seals, self._opens = connection, seals, opens
        self._sent = self._heard = 0
        self._buffer = bytearray()
        self._loop = asyncio.get_running_loop()
        self.came: Callable[[], object] = lambda: None

    @classmethod
    async def over(cls, connection: socket.socket, word: bytes, *, accepted: bool) -> "Encrypted":
        """Agree with the other end.

        Args:
            connection: As for the class.
            word: What both ends know, at most 64 bytes.
            accepted: Whether this is the end that was connected to.

        Raises:
            OSError: The other end is gone, or none of ours.
        """
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        own = X25519PrivateKey.generate()
        public, other = own.public_key().public_bytes_raw(), bytearray(_PUBLIC)
        await asyncio.get_running_loop().sock_sendall(connection, public)
        await _fill(connection, memoryview(other), lambda: None)
        try:
            common = own.exchange(X25519PublicKey.from_public_bytes(bytes(other)))
        except ValueError as problem:
            raise ConnectionAbortedError("the other end says no public key") from problem
        said = bytes(other) + public if accepted else public + bytes(other)
        keys = hashlib.blake2b(common + said, key=word, person=_PURPOSE, digest_size=2 * _KEY).digest()
        there, back = AESGCM(keys[:_KEY]), AESGCM(keys[_KEY:])
        return cls(connection, back, there) if accepted else cls(connection, there, back)

    async def send(self, message: bytes) -> None:
        """Send a message of at most `LONGEST` bytes.

        Raises:
            OSError: The other end is gone.
        """
        sealed = self._seals.encrypt(_nonce(self._sent), message, None)
        self._sent += 1
        await self._loop.sock_sendall(self._connection, _LENGTH.pack(len(sealed)))
        await self._loop.sock_sendall(self._connection, sealed)

    async def receive(self, most: int = LONGEST) -> bytes:
        """Return the next message.

        Args:
            most: Bytes that it may have.

        Raises:
            OSError: The other end is gone or none of ours, or what came is not what it sent.
        """
        header = bytearray(_LENGTH.size)
        await _fill(self._connection, memoryview(header), self.came)
        (length,) = _LENGTH.unpack(header)
        if not _TAG <= length <= most + _TAG:
            raise ConnectionAbortedError("the other end announces what it may not send")
        if len(self._buffer) < length:
            self._buffer = bytearray(length)
        sealed = memoryview(self._buffer)[:length]
        await _fill(self._connection, sealed, self.came)
        try:
            message = self._opens.decrypt(_nonce(self._heard), sealed, None)
        except InvalidTag:
            raise ConnectionAbortedError("it does not know the word, or somebody changed what it said") from None
        self._heard += 1
        return message


async def _fill(connection: socket.socket, left: memoryview, came: Callable[[], object]) -> None:
    """Read until there is no more room.

    Raises:
        OSError: The other end is gone.
    """
    loop = asyncio.get_running_loop()
    while left:
        count = await loop.sock_recv_into(connection, left)
        if not count:
            raise ConnectionResetError("the other end is gone")
        left = left[count:]
        came()


def _nonce(number: int) -> bytes:
    return number.to_bytes(12, "big")
