"""A message as frames and back: one msgpack frame, and a frame of its own for each large payload."""

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import msgspec

from rhapsody_parsl.wire.malformed import MalformedFrame
from rhapsody_parsl.wire.messages import (
    Answered,
    ChildrenEnded,
    Deliver,
    Done,
    Message,
    Result,
    Results,
    SharedPayload,
    Submit,
    SubmitChildren,
    Task,
    Work,
)
from rhapsody_parsl.wire.piece_messages import ChildPieces, Piece, Pieces
from rhapsody_parsl.wire.value_messages import Copied, ValuesCame

__all__ = ("INLINE_LIMIT", "Codec", "encode")

INLINE_LIMIT = 32 * 1024
"""Payloads up to this many bytes travel inside the msgpack frame; larger ones are never copied into it."""

M = TypeVar("M")
_encoder = msgspec.msgpack.Encoder()


_FIELDS: dict[type, str] = {
    **dict.fromkeys((Deliver, Submit, SubmitChildren, Work), "tasks"),
    **dict.fromkeys((Answered, ChildrenEnded, Done, Results), "results"),
    **dict.fromkeys((ChildPieces, Pieces), "pieces"),
    ValuesCame: "copies",
}
"""The messages that carry payloads, and where."""


def encode(message: Message, limit: int = INLINE_LIMIT) -> list[bytes]:
    """Return the frames of a message: the header, then its large payloads, which have more bytes than the limit."""
    field = _FIELDS.get(type(message))
    if field is None or not _any_large(getattr(message, field), limit):
        return [_encoder.encode(message)]
    blobs: list[bytes] = []
    items = [_take_out(item, blobs, limit) for item in getattr(message, field)]
    return [_encoder.encode(msgspec.structs.replace(message, **{field: items})), *blobs]


def _any_large(items: Sequence[Task | Result | Piece | Copied], limit: int) -> bool:
    for item in items:  # noqa: SIM110 - a generator would cost each message of a lone task half a microsecond
        if _is_large(item.payload, limit):
            return True
    return False


def _is_large(payload: bytes | SharedPayload | int, limit: int) -> bool:
    return isinstance(payload, bytes) and len(payload) > limit


def _take_out(item: Any, blobs: list[bytes], limit: int) -> Any:
    if not _is_large(item.payload, limit):
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
        field = _FIELDS.get(type(message))
        if field is not None and _any_missing(getattr(message, field)):
            items = [_put_back(item, frames[1:]) for item in getattr(message, field)]
            message = msgspec.structs.replace(message, **{field: items})
        elif len(frames) > 1 and field is None:
            raise MalformedFrame(f"{type(message).__name__} carries no payloads")
        return message  # type: ignore[no-any-return]  # the decoder's type is the vocabulary


def _any_missing(items: Sequence[Task | Result | Piece | Copied]) -> bool:
    for item in items:  # noqa: SIM110 - as above
        if type(item.payload) is int:
            return True
    return False


def _put_back(item: Any, blobs: Sequence[Any]) -> Any:
    number = item.payload
    if not isinstance(number, int):
        return item
    if not 0 <= number < len(blobs):
        raise MalformedFrame(f"payload {number} of {len(blobs)} is missing")
    blob = blobs[number]
    return msgspec.structs.replace(item, payload=blob if isinstance(blob, bytes) else bytes(blob))
