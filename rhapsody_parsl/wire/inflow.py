"""A message on a stream: its size, the number of its frames, their lengths, then the frames.

Nothing that arrives is believed: a message that does not hold what it announces is `MalformedFrame`.
"""

import socket
import struct
import threading
from collections import deque
from collections.abc import Sequence

from rhapsody_parsl.wire.malformed import MalformedFrame

__all__ = ("LARGEST", "Inflow", "pack", "send_some", "split")

Frames = Sequence[bytes]

_HEAD = struct.Struct("<QI")
_LENGTH = 8
_CHUNK = 256 * 1024
_AHEAD = 8 * 1024
"""Bytes that are looked at before they are taken: those of a few short answers."""
_MOST_BUFFERS = 64
"""Buffers in one call of the kernel; it takes 1024 at most."""
_FIRST_ROOM = 16 * 1024 * 1024
"""Bytes that are made ready for a large message at first; then twice as many as have come."""
LARGEST = 1 << 40
"""Bytes that a message may have."""


def pack(frames: Frames) -> list[memoryview]:
    """Return a message as buffers; large frames are not copied."""
    lengths = [len(frame) for frame in frames]
    size = _HEAD.size + _LENGTH * len(frames) + sum(lengths)
    head = _HEAD.pack(size, len(frames)) + struct.pack(f"<{len(frames)}Q", *lengths)
    if size <= _CHUNK:
        return [memoryview(b"".join([head, *frames]))]
    return [memoryview(head), *(memoryview(frame) for frame in frames)]


def split(message: bytes | memoryview) -> list[bytes]:
    """Return the frames of a whole message.

    Raises:
        MalformedFrame: Its parts are not as long as it says.
    """
    count = _HEAD.unpack_from(message)[1]
    at = _HEAD.size + _LENGTH * count
    lengths = struct.unpack_from(f"<{count}Q", message, _HEAD.size) if at <= len(message) else ()
    if at + sum(lengths) != len(message):
        raise MalformedFrame(f"a message of {len(message)} bytes does not hold its {count} frames")
    frames = []
    for length in lengths:
        frames.append(bytes(message[at : at + length]))
        at += length
    return frames


def send_some(connection: socket.socket, buffers: deque[memoryview]) -> None:
    """Send from the front of the buffers what the kernel takes in one go."""
    sent = connection.sendmsg([buffers[index] for index in range(min(len(buffers), _MOST_BUFFERS))])
    while buffers and sent >= len(buffers[0]):
        sent -= len(buffers.popleft())
    if sent:
        buffers[0] = buffers[0][sent:]


class _Room(threading.local):
    """A thread's own room for what arrives.

    To have the socket make as many bytes each time, and give most of them back, the C library may ask the kernel for
    pages and return them: six calls and the faults of a lone task's way, in one process and not in the next.
    """

    def __init__(self) -> None:
        self.bytes = memoryview(bytearray(_CHUNK))


_room = _Room()


class Inflow:
    """Makes messages of what arrives on a socket.

    Args:
        connection: Only `read` receives on it.
        first: Bytes that the first message may have.
    """

    def __init__(self, connection: socket.socket, first: int = LARGEST) -> None:
        self._connection, self._largest = connection, first
        self._rest = b""
        self._large: bytearray | None = None
        self._total = self._filled = 0

    def read(self, flags: int = 0) -> list[list[bytes]]:
        """Receive once and return the messages that are whole now.

        Raises:
            BlockingIOError: Nothing is there.
            EOFError: Nothing will come any more.
            MalformedFrame: What came is no message.
        """
        return self._read_small(flags) if self._large is None else self._read_large(self._large, flags)

    def peek(self, flags: int = 0) -> list[tuple[list[bytes], int]]:
        """Wait, and return the messages that have come whole, each with how many bytes end with it; they stay there.

        Whatever interrupts this changes nothing.

        Returns:
            Nothing where only `read` gets on: a message is large, or begun, or nothing will come.

        Raises:
            BlockingIOError: The flags say not to wait, and nothing is there.
            MalformedFrame: What came is no message.
        """
        if self._rest or self._large is not None:
            return []
        data = self._connection.recv(_AHEAD, socket.MSG_PEEK | flags)
        whole, at = [], 0
        while len(data) - at >= _HEAD.size and at + (size := self._size(data, at)) <= len(data):
            whole.append((split(data[at : at + size]), at := at + size))
        return whole

    def _read_small(self, flags: int) -> list[list[bytes]]:
        room = _room.bytes
        count = self._connection.recv_into(room, 0, flags)
        if not count:
            raise EOFError
        data = self._rest + room[:count]
        whole, at, size = [], 0, 0
        while len(data) - at >= _HEAD.size and at + (size := self._size(data, at)) <= len(data):
            whole.append(split(memoryview(data)[at : at + size]))
            at += size
            self._largest = LARGEST
        self._rest = data[at:]
        if len(self._rest) >= _HEAD.size and size > _CHUNK:  # what is still to come goes straight to its place
            self._total, self._filled = size, len(self._rest)
            self._large = bytearray(self._rest)
            self._rest = b""
        return whole

    def _size(self, data: bytes, at: int) -> int:
        size: int = _HEAD.unpack_from(data, at)[0]
        if not _HEAD.size <= size <= self._largest:
            raise MalformedFrame(f"a message of {size} bytes is announced")
        return size

    def _read_large(self, message: bytearray, flags: int) -> list[list[bytes]]:
        if self._filled == len(message):
            _grow(message, min(self._total, max(_FIRST_ROOM, 2 * self._filled)))
        with memoryview(message) as whole, whole[self._filled :] as room:
            count = self._connection.recv_into(room, 0, flags)
        if not count:
            raise EOFError
        self._filled += count
        if self._filled < self._total:
            return []
        self._large = None
        return [split(memoryview(message))]


def _grow(message: bytearray, size: int) -> None:
    """Make room as the message comes: what it announces costs nothing before."""
    try:
        message.extend(bytes(size - len(message)))
    except MemoryError as problem:
        raise MalformedFrame(f"there is no room for {size} bytes of a message") from problem
