"""Pieces of payloads that an agent keeps: a function, or an equal argument, crosses the network once per host.

The pilot gives a piece with its name, and says the name alone from then on. Both ends have a shelf, take the same steps
in the same order, and drop the same pieces. So the pilot knows what an agent has, and nobody asks. The connection is
numbered: a cut changes nothing of that. An agent that was lost begins with an empty shelf, and so does the pilot's.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from typing import Any, Generic, TypeVar

from rhapsody_parsl.agents.cutting import SMALLEST_PIECE, cut
from rhapsody_parsl.agents.words import Abridged, Piece, Relayed
from rhapsody_parsl.wire.malformed import MalformedFrame

__all__ = ("Abridger", "Repeats", "Shelf", "restored")

ROOM = 256 * 1024 * 1024
"""Bytes on a shelf."""
_LONGEST_PIECE = ROOM // 2
_SAMPLE = 1024
_MOST_SAMPLES = 10_000
_PLAIN = Piece()

T = TypeVar("T")


class Shelf(Generic[T]):
    """Things by name, up to a number of bytes; those used longest ago go first.

    Args:
        room: Bytes.

    Attributes:
        held: Bytes of what is here.
    """

    def __init__(self, room: int = ROOM) -> None:
        self._room, self.held = room, 0
        self._things: dict[bytes, tuple[int, T]] = {}  # those used last come last

    def __contains__(self, name: bytes) -> bool:
        """Whether there is one of this name."""
        return name in self._things

    def use(self, name: bytes) -> T:
        """Return one.

        Raises:
            KeyError: It is not here.
        """
        found = self._things[name] = self._things.pop(name)
        return found[1]

    def put(self, name: bytes, size: int, thing: T) -> None:
        """Put one here that is not."""
        self._things[name] = (size, thing)
        self.held += size
        while self.held > self._room:
            self.held -= self._things.pop(next(iter(self._things)))[0]


class Repeats:
    """Which pieces have come before, by some of their bytes: what comes once in a block is neither named nor kept."""

    def __init__(self) -> None:
        self._samples: dict[int, None] = {}

    def come_again(self, piece: memoryview) -> bool:
        """Whether a piece that looks like this one has come."""
        middle = len(piece) // 2
        some = (piece[:_SAMPLE], piece[middle : middle + _SAMPLE], piece[-_SAMPLE:])
        sample = hash((len(piece), *map(bytes, some)))
        if sample in self._samples:
            return True
        if len(self._samples) >= _MOST_SAMPLES:
            del self._samples[next(iter(self._samples))]
        self._samples[sample] = None
        return False


_salt = os.urandom(64)
"""Before each piece, so that files which were made to have the same SHA-1 have names of their own."""


def _name_of(piece: memoryview) -> bytes:
    """Return a name; SHA-1 takes half a millisecond per megabyte, and others take longer."""
    name = hashlib.sha1(_salt, usedforsecurity=False)
    name.update(piece)
    return name.digest()


class Abridger:
    """The pilot's end of one agent.

    Args:
        repeats: Those of the block.
    """

    def __init__(self, repeats: Repeats) -> None:
        self._repeats = repeats
        self._shelf: Shelf[None] = Shelf()

    def abridged(self, exchange: str, peer: str, frames: Sequence[bytes]) -> tuple[Relayed, Sequence[Any]]:
        """Return what is said of a message to a process, and the frames that go with it, or views of them."""
        sent: list[Any] = [frames[0]]
        plan = [[self._told(piece, sent) for piece in cut(frame)] for frame in frames[1:]]
        if all(piece is _PLAIN for pieces in plan for piece in pieces):
            return Relayed(exchange, peer, len(frames)), frames
        return Abridged(exchange, peer, len(sent), plan=plan), sent

    def _told(self, piece: memoryview, sent: list[Any]) -> Piece:
        """Return what is said of a piece, and add it to what is sent if it has to be."""
        if not SMALLEST_PIECE <= len(piece) <= _LONGEST_PIECE or not self._repeats.come_again(piece):
            sent.append(piece)
            return _PLAIN
        name = _name_of(piece)
        if name in self._shelf:
            self._shelf.use(name)
            return Piece(name, comes=False)
        self._shelf.put(name, len(piece), None)
        sent.append(piece)
        return Piece(name)


def restored(word: Abridged, frames: Sequence[bytes], shelf: Shelf[bytes]) -> list[bytes]:
    """Return the frames of a message; the agent's.

    Args:
        word: What the pilot says of it.
        frames: What came with that.
        shelf: The agent's.

    Raises:
        MalformedFrame: A piece is not here.
    """
    rest = iter(frames)
    try:
        return [next(rest), *(b"".join([_found(piece, rest, shelf) for piece in pieces]) for pieces in word.plan)]
    except (KeyError, RuntimeError, StopIteration) as problem:
        raise MalformedFrame(f"a piece of a message is not here ({type(problem).__name__}: {problem})") from problem


def _found(piece: Piece, rest: Iterator[bytes], shelf: Shelf[bytes]) -> bytes:
    if not piece.comes:
        return shelf.use(piece.name)
    found = next(rest)
    if piece.name:
        shelf.put(piece.name, len(found), found)
    return found
