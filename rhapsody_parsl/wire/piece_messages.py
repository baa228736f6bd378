"""What a task gives before its end: from its process through the pilot to the driver, and how much more may come.

A reader says how much it has taken in all, and never how much more it wants: said twice, or late, that does no harm.
"""

import msgspec

from rhapsody_parsl.wire.tagged import Tagged

__all__ = ("AHEAD", "AHEAD_BYTES", "ChildMore", "ChildPieces", "More", "Piece", "Pieces")

AHEAD, AHEAD_BYTES = 32, 4 * 1024 * 1024
"""Pieces, and their bytes, that a reader has not taken; then the producer waits. Two pieces may be of any size.

A reader says what it has taken after half of either.
"""


class Piece(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One piece of a task's stream; `number` counts from 0 in each try of the task."""

    id: int
    number: int
    payload: bytes | int


class Pieces(Tagged, frozen=True):
    """Tasks of a run gave these; `run` is 0 for requests that an engine answers."""

    run: int
    pieces: list[Piece]


class More(Tagged, frozen=True):
    """A reader has taken so many pieces of a task, of so many bytes together; with `stop` it wants no more."""

    task: int
    taken: int
    size: int
    stop: bool = False


class ChildPieces(Tagged, frozen=True):
    """Tasks that a task submitted gave these; they are told by the numbers of the process that has submitted them."""

    pieces: list[Piece]


class ChildMore(Tagged, frozen=True):
    """The same as `More`, of the process that has submitted the task, by its number."""

    task: int
    taken: int
    size: int
    stop: bool = False
