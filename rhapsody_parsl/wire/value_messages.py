"""Values kept by reference: who has them and who wants them, between worker and pilot, and between pilot and driver."""

import msgspec

from rhapsody_parsl.wire.tagged import Tagged

__all__ = (
    "AskValue",
    "Copied",
    "DropValues",
    "FindValue",
    "FreeValues",
    "FromValues",
    "HoldValue",
    "OfHandles",
    "OfValues",
    "PinValue",
    "RestValues",
    "ToValues",
    "ValueHere",
    "ValueLeft",
    "ValuesCame",
    "WantValue",
)


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
    """Nobody needs these any more; `unfinished` are those whose tasks have failed, and may have left anything.

    `counts` are how many handles the driver has had of each. Without them the values go, whoever needs them.
    """

    keys: list[str]
    unfinished: bool = False
    counts: list[int] = msgspec.field(default_factory=list)


class HoldValue(Tagged, frozen=True):
    """A task has a handle of a value that tasks of its block made.

    Attributes:
        parent: The task's number.
        key: The value's.
        size: In bytes; 0 where it is not yet known.
        label: The user's name for it, or "".
        pinned: Whether it stays without a handle.
        order: For the answer, a `ChildAnswer`; 0 wants none.
        lies: Whether it is about to be written, on the host of the process.
    """

    parent: int
    key: str
    size: int = 0
    label: str = ""
    pinned: bool = False
    order: int = 0
    lies: bool = False


class FreeValues(Tagged, frozen=True):
    """A task has no handle of these any more, and has been given so many of each; or they go, whoever needs them."""

    parent: int
    given: dict[str, int]
    deleted: bool = False


class PinValue(Tagged, frozen=True):
    """A value is to stay without a handle, or no more."""

    key: str
    pinned: bool


class FindValue(Tagged, frozen=True):
    """A task wants a handle of the value with a label; the answer is a `ChildAnswer` with its key and its size."""

    order: int
    parent: int
    label: str


class RestValues(Tagged, frozen=True):
    """The checkpoint of an agent has handles of these now, and of no others."""

    name: str
    values: list[tuple[str, int]]


OfValues = AskValue | ValueLeft
"""What the process of a task says of values; as of its tasks, whichever runtime has the process."""
ToValues = WantValue | ValuesCame | DropValues
FromValues = WantValue | ValuesCame
OfHandles = HoldValue | FreeValues | PinValue | FindValue | RestValues
"""What the process of a task says of handles that the task has."""
