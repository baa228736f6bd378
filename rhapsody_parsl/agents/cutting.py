"""Where a payload is cut, so that what is equal in two of them is a piece of each.

A call has parts, each after its length (see `payload`). Within a part pickle writes frames, each after its length, and
large bytes between them. Only these lengths are read, and nothing is opened. Wherever a cut is, the pieces are all of
the payload: a length that was none costs a repetition, and changes no byte.
"""

import struct
from collections.abc import Iterator

__all__ = ("SMALLEST_PIECE", "cut")

SMALLEST_PIECE = 4096
"""Bytes of a piece from which on it costs less to name it than to send it; measured."""

_MOST_DIGITS = 24
"""In the length of a part of a call."""
_LONGEST_HEADER = 64
"""Bytes before the pickle in a part: what says who opens it."""
_PROTOCOL = b"\x80"
_LENGTHS = {
    0x95: struct.Struct("<Q"),  # a frame
    0x42: struct.Struct("<I"),  # bytes
    0x8E: struct.Struct("<Q"),  # the same, of 4 GB and more
    0x96: struct.Struct("<Q"),  # a bytearray
    0x58: struct.Struct("<I"),  # a string
    0x8D: struct.Struct("<Q"),  # the same, of 4 GB and more
}
"""The length of what is long in a pickle, by the byte before it."""
_MOST_BETWEEN = 8
"""Bytes between two of these; where there are more, pickle has written no frames."""


def cut(payload: bytes) -> list[memoryview]:
    """Return the pieces of a payload, in order: what may be equal in another one, and what is between that."""
    whole = memoryview(payload)
    pieces, began, last = [], 0, 0
    for edge in (*_edges(payload), len(payload)):
        if edge - last >= SMALLEST_PIECE:
            pieces += [whole[began:last], whole[last:edge]]
            began = edge
        last = edge
    return [piece for piece in (*pieces, whole[began:]) if piece]


def _edges(payload: bytes) -> Iterator[int]:
    """Yield where something begins or ends that may be equal elsewhere; a function is, as a whole."""
    parts = _parts(payload)
    for number, (start, end) in enumerate(parts):
        yield start
        if number:
            yield from _long_ones(payload, start, end)
        yield end
    if not parts:
        yield from _long_ones(payload, 0, len(payload))


def _parts(payload: bytes) -> list[tuple[int, int]]:
    """Return where the parts of a call begin and end; none if it is no call."""
    parts, at = [], 0
    while at < len(payload):
        newline = payload.find(b"\n", at, at + _MOST_DIGITS)
        digits = payload[at : max(at, newline)]
        if not digits.isdigit():
            return []
        at = newline + 1 + int(digits)
        parts.append((newline + 1, at))
    return parts if at == len(payload) else []


def _long_ones(payload: bytes, start: int, end: int) -> Iterator[int]:
    """Yield where the frames and the large bytes of a pickle begin and end."""
    at = payload.find(_PROTOCOL, start, min(end, start + _LONGEST_HEADER))
    between = 0 if at >= 0 else _MOST_BETWEEN
    at += len(_PROTOCOL) + 1
    while at < end and between < _MOST_BETWEEN:
        length = _LENGTHS.get(payload[at])
        body = at + 1 + (length.size if length else 0)
        if length is None or body > end or (over := body + length.unpack_from(payload, at + 1)[0]) > end:
            at, between = at + 1, between + 1
            continue
        yield from (body, over)
        at, between = over, 0
