"""The user's bytes: calls and values, by Parsl's serializers, and by plain pickle where that says the same.

Parsl's dill takes 20 µs for `((1,), {})`, pickle's C code less than one. For built-in values and containers of them
both write the same, so those are pickled; everything else, and everything once somebody has registered a serializer of
their own with Parsl, goes Parsl's way. What is written here any Parsl opens: it loads serializers by name.
"""

import pickle
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from parsl.serialize import deserialize, serialize
from parsl.serialize.base import SerializerBase
from parsl.serialize.concretes import DillSerializer
from parsl.serialize.facade import methods_for_data

__all__ = ("PlainSerializer", "open_call", "open_value", "pack_call", "pack_value")

_NO_THRESHOLD = 1 << 62  # Parsl logs a warning above a threshold; large values are legitimate here
_PROTOCOL = 5
_MOST_DIGITS = 24
"""In the length of a part of a call."""

Buffer = bytes | bytearray
Call = tuple[Callable[..., Any], Sequence[Any], dict[str, Any]]


class _NotPlain(Exception):  # noqa: N818 - a word from one function to the next
    """Dill may write this otherwise."""


class _Pieces(list[Buffer]):
    """A file as pickle sees it: large bytes arrive as they are, so that joining the pieces is their only copy."""

    write = list.append


class _Plain(pickle.Pickler):
    """Pickles built-in values only: Python asks `reducer_override` for all others, functions and classes too."""

    def reducer_override(self, obj: Any) -> Any:
        raise _NotPlain


class PlainSerializer(SerializerBase):
    """Pickle for built-in values and containers of them; a serializer as Parsl finds it, by the name in its header."""

    identifier = b"rhapsody_parsl.payload PlainSerializer"

    def serialize(self, data: Any) -> bytes:
        """Return the pickle.

        Raises:
            Exception: It is not plain, or not picklable.
        """
        return b"".join(_pickled(data))

    def deserialize(self, body: bytes) -> Any:
        """Return the value."""
        return pickle.loads(body)


def _pickled(value: Any) -> list[Buffer]:
    pieces = _Pieces()
    _Plain(pieces, _PROTOCOL).dump(value)
    return pieces


_HEADER = PlainSerializer.identifier + b"\n"


def pack_call(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> bytes:
    """Return a call as bytes, which Parsl's `unpack_apply_message` opens too.

    Raises:
        Exception: Whatever dill raises.
    """
    parts: list[list[Buffer]] = [[serialize(function, buffer_threshold=_NO_THRESHOLD)], _pieces_of(args)]
    parts.append(_pieces_of(kwargs))
    return b"".join(piece for part in parts for piece in (b"%d\n" % sum(map(len, part)), *part))


def open_call(payload: bytes | memoryview) -> Call:
    """Return function, positional and keyword arguments of a call.

    Raises:
        Exception: Whatever unpickling raises, which runs the user's code.
    """
    view, parts, at = memoryview(payload), [], 0
    while at < len(payload):
        end = at + bytes(view[at : at + _MOST_DIGITS]).index(b"\n")
        start, at = end + 1, end + 1 + int(payload[at:end])
        parts.append(open_value(view[start:at]))
    function, args, kwargs = parts
    return function, args, kwargs


def pack_value(value: Any) -> bytes:
    """Return a value as bytes, which Parsl's `deserialize` opens too.

    Raises:
        Exception: Whatever dill raises.
    """
    return b"".join(_pieces_of(value))


def _pieces_of(value: Any) -> list[Buffer]:
    if list(methods_for_data) == [DillSerializer.identifier]:  # else somebody wants values written their way
        try:
            return [_HEADER, *_pickled(value)]
        except Exception:  # noqa: BLE001, S110 - dill then says what is wrong
            pass
    return [serialize(value, buffer_threshold=_NO_THRESHOLD)]


def open_value(data: bytes | memoryview) -> Any:
    """Return the value.

    Raises:
        Exception: Whatever unpickling raises, which runs the user's code.
    """
    if bytes(data[: len(_HEADER)]) == _HEADER:
        return pickle.loads(data[len(_HEADER) :])
    return deserialize(bytes(data))
