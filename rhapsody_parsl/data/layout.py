"""How a value lies in a file: the lengths of its parts, then each part where arrays may begin; pure.

The first part is a pickle, the others are the buffers that it leaves out.
"""

import struct
from collections.abc import Iterator, Sequence

__all__ = ("BEFORE", "Buffer", "before", "laid_out", "parts_of")

Buffer = bytes | bytearray | memoryview

_MARK = b"rhapsody"
_NUMBER = struct.Struct("<Q")
_ALIGNED = 64
"""Bytes of a line of the cache: what NumPy and torch align arrays to."""
_MOST_PARTS = 1 << 24
BEFORE = 64 * 1024
"""Bytes that are kept free before an array that is made in the file where it is to stay."""


def laid_out(pickle: Sequence[Buffer], buffers: Sequence[Buffer]) -> list[Buffer]:
    """Return what is to be written, in order.

    Args:
        pickle: Its pieces.
        buffers: Flat ones, of bytes.
    """
    lengths = [sum(map(len, pickle)), *map(len, buffers)]
    head = _MARK + b"".join(map(_NUMBER.pack, (len(lengths), *lengths)))
    written: list[Buffer] = [head, _gap(len(head)), *pickle]
    for before, buffer in zip(lengths, buffers, strict=False):
        written += [_gap(before), buffer]
    return written


def before(pickle: Sequence[Buffer], length: int) -> bytes | None:
    """Return what is to be written before an array that lies at `BEFORE`; None when that is too much.

    A pickle says itself where it ends.

    Args:
        pickle: Its pieces.
        length: Of the array, in bytes.
    """
    body = b"".join(pickle)
    size = len(_MARK) + 3 * _NUMBER.size
    start = size + -size % _ALIGNED
    if start + len(body) > BEFORE:
        return None
    head = _MARK + b"".join(map(_NUMBER.pack, (2, BEFORE - start, length)))
    return (head + _gap(size) + body).ljust(BEFORE, b"\0")


def parts_of(file: memoryview) -> list[memoryview]:
    """Return the parts of a file.

    Raises:
        ValueError: It is no file of ours, or not the whole of one.
    """
    if bytes(file[: len(_MARK)]) != _MARK:
        raise ValueError("it does not begin as a value's file does")
    return list(_parts(file, _lengths(file)))


def _lengths(file: memoryview) -> list[int]:
    at = len(_MARK) + _NUMBER.size
    count = _number(file, len(_MARK))
    if not 1 <= count <= _MOST_PARTS:
        raise ValueError(f"it is said to have {count} parts")
    return [_number(file, at + _NUMBER.size * place) for place in range(count)]


def _number(file: memoryview, at: int) -> int:
    if at + _NUMBER.size > len(file):
        raise ValueError("it is cut off")
    number: int = _NUMBER.unpack_from(file, at)[0]
    return number


def _parts(file: memoryview, lengths: Sequence[int]) -> Iterator[memoryview]:
    at = len(_MARK) + _NUMBER.size * (1 + len(lengths))
    for length in lengths:
        at += -at % _ALIGNED
        if at + length > len(file):
            raise ValueError("it is cut off")
        yield file[at : at + length]
        at += length


def _gap(length: int) -> bytes:
    return bytes(-length % _ALIGNED)
