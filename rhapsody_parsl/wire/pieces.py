"""Long frames in pieces: ZeroMQ makes room for whatever a stranger announces, unless its length has a limit.

A piece of exactly the limit is continued by the next frame, which may be empty.
"""

from collections.abc import Sequence

from rhapsody_parsl.wire.malformed import MalformedFrame

__all__ = ("LONGEST", "cut", "joined")

LONGEST = 4 * 1024 * 1024
"""Bytes of a piece."""


def cut(frames: Sequence[bytes | memoryview]) -> Sequence[bytes | memoryview]:
    """Return the pieces of a message's frames."""
    if max(map(len, frames), default=0) < LONGEST:
        return frames
    pieces: list[bytes | memoryview] = []
    for frame in frames:
        whole = memoryview(frame)
        pieces += [whole[at : at + LONGEST] for at in range(0, len(frame) + 1, LONGEST)]
    return pieces


def joined(pieces: list[bytes]) -> list[bytes]:
    """Return the frames of a message's pieces.

    Raises:
        MalformedFrame: The last piece is missing.
    """
    if max(map(len, pieces), default=0) < LONGEST:
        return pieces
    frames: list[bytes] = []
    parts: list[bytes] = []
    for piece in pieces:
        parts.append(piece)
        if len(piece) < LONGEST:
            frames.append(b"".join(parts))
            parts = []
    if parts:
        raise MalformedFrame("a frame has no end")
    return frames
