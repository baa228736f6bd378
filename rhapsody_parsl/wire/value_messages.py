"""Values kept by reference, on their way between hosts: worker and pilot, pilot and driver. Nobody opens them there."""

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
    """The value that was asked for; no copy when it is gone, for this reason."""

    order: int
    copies: list[Copied]
    reason: str = ""


class ValueLeft(Tagged, frozen=True):
    """A task on another host has left these, and the pilot's host is to have them too."""

    copies: list[Copied]


class WantValue(Tagged, frozen=True):
    """The driver, or a pilot, lacks a value; the answer is a `ValuesCame`."""

    key: str


class ValuesCame(Tagged, frozen=True):
    """Values that the other end wants; `gone` are those that are not here either."""

    copies: list[Copied]
    gone: list[str]


class DropValues(Tagged, frozen=True):
    """Nobody needs these any more; `unfinished` are those whose tasks have failed, and may have left anything."""

    keys: list[str]
    unfinished: bool = False
