"""A message as frames and back: one msgpack frame, and a frame of its own for each large payload."""

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import msgspec

from rhapsody_parsl.errors import RhapsodyError
from rhapsody_parsl.wire.messages import Done, Message, Parcel, Result, Results, Submit, Task, Work

__all__ = ("INLINE_LIMIT", "Codec", "MalformedFrame", "encode")

INLINE_LIMIT = 32 * 1024
"""Payloads up to this many bytes travel inside the msgpack frame; larger ones are never copied into it."""

M = TypeVar("M")
_encoder = msgspec.msgpack.Encoder()


class MalformedFrame(RhapsodyError):  # noqa: N818 - named for what arrived
    """What arrived is no message of ours: a stranger sent it, or another version, or it was damaged."""


def encode(message: Message) -> list[bytes]:
    """Return the frames of a message: the header, then its large payloads."""
    blobs: list[bytes] = []
    match message:
        case Submit() | Work() if _any_large(message.tasks):
            message = msgspec.structs.replace(message, tasks=[_take_out(item, blobs) for item in message.tasks])
        case Results() | Done() if _any_large(message.results):
            message = msgspec.structs.replace(message, results=[_take_out(item, blobs) for item in message.results])
        case _:
            pass
    return [_encoder.encode(message), *blobs]


def _any_large(items: Sequence[Task | Result]) -> bool:
    return any(_is_large(item.payload) for item in items)


def _is_large(payload: bytes | Parcel | int) -> bool:
    return isinstance(payload, bytes) and len(payload) > INLINE_LIMIT


def _take_out(item: Any, blobs: list[bytes]) -> Any:
    if not _is_large(item.payload):
        return item
    blobs.append(item.payload)
    return msgspec.structs.replace(item, payload=len(blobs) - 1)


class Codec(Generic[M]):
    """Decoder for one side's vocabulary.

    Args:
        vocabulary: The union of messages this side understands.
    """

    def __init__(self, vocabulary: Any) -> None:
        self._decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(vocabulary)

    def decode(self, frames: Sequence[Any]) -> M:
        """Return the message of `encode`'s frames.

        Raises:
            MalformedFrame: The frames are no message of this side's vocabulary.
        """
        try:
            return self._decode(frames)
        except Exception as problem:  # what bytes of anybody's can raise, msgspec does not list
            raise MalformedFrame(f"no message of ours ({type(problem).__name__}: {problem})") from problem

    def _decode(self, frames: Sequence[Any]) -> M:
        message = self._decoder.decode(frames[0])
        blobs = frames[1:]
        if isinstance(message, Submit | Work):
            if blobs or _any_missing(message.tasks):
                message = msgspec.structs.replace(message, tasks=[_put_back(item, blobs) for item in message.tasks])
        elif isinstance(message, Results | Done):
            if blobs or _any_missing(message.results):
                message = msgspec.structs.replace(message, results=[_put_back(item, blobs) for item in message.results])
        elif blobs:
            raise MalformedFrame(f"{type(message).__name__} carries no payloads")
        return message  # type: ignore[no-any-return]  # the decoder's type is the vocabulary


def _any_missing(items: Sequence[Task | Result]) -> bool:
    return int in [type(item.payload) for item in items]


def _put_back(item: Any, blobs: Sequence[Any]) -> Any:
    number = item.payload
    if not isinstance(number, int):
        return item
    if not 0 <= number < len(blobs):
        raise MalformedFrame(f"payload {number} of {len(blobs)} is missing")
    blob = blobs[number]
    return msgspec.structs.replace(item, payload=blob if isinstance(blob, bytes) else bytes(blob))
