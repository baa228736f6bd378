"""Values kept by reference: who has them and who wants them, between worker and pilot, and between pilot and driver."""

import msgspec

from rhapsody_parsl.wire.tagged import Tagged

__all__ = ("AskValue", "Copied", "DropValues", "ValueHere", "ValueLeft", "ValuesCame", "WantValue")


class Copied(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A value as its file has it, and its key."""

    key: str
    payload: bytes | int


class AskValue(Tagged, frozen=True):
    """The process of a task lacks a value; the answer is a `ValueHere`."""

    order: int
    key: str


class ValueHere(Tagged, frozen=True):
    """The value that was asked for is on the host now; or it is gone, for this reason."""

    order: int
    reason: str = ""


class ValueLeft(Tagged, frozen=True):
    """A task has left a value on another host than the pilot's."""

    key: str


class WantValue(Tagged, frozen=True):
    """The driver, or a pilot, lacks a value; the answer is a `ValuesCame`.

    Attributes:
        key: The value's.
        sees: Whether the one who asks sees the memory of the other: it wants no copy.
    """

    key: str
    sees: bool = False


class ValuesCame(Tagged, frozen=True):
    """Values that the other end wants.

    Attributes:
        copies: Those that it does not see where they are.
        gone: Why others are not here either, by key.
        here: Those that it sees in its own memory.
    """

    copies: list[Copied]
    gone: dict[str, str] = msgspec.field(default_factory=dict)
    here: list[str] = msgspec.field(default_factory=list)


class DropValues(Tagged, frozen=True):
    """Nobody needs these any more; `unfinished` are those whose tasks have failed, and may have left anything."""

    keys: list[str]
    unfinished: bool = False
