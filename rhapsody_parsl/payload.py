"""The user's bytes: calls and values, by Parsl's serializers, and by plain pickle where that says the same.

Parsl's dill takes 20 µs for `((1,), {})`, pickle's C code less than one. For built-in values and containers of them
both write the same, so those are pickled; everything else, and everything once somebody has registered a serializer of
their own with Parsl, goes Parsl's way. What is written here any Parsl opens: it loads serializers by name.

Parsl itself takes a second or two to import, on each core of a block before its first task. Where nobody has loaded it
nobody has registered a serializer, and dill is called as Parsl would call it.
"""

import functools
import pickle
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dill

__all__ = ("HEADER", "open_call", "open_value", "pack_call", "pack_value", "pickled")

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


def pickled(value: Any) -> list[Buffer]:
    """Return the pickle of a plain value, in pieces.

    Raises:
        Exception: It is not plain, or not picklable.
    """
    pieces = _Pieces()
    _Plain(pieces, _PROTOCOL).dump(value)
    return pieces


HEADER = b"rhapsody_parsl.plain_serializer PlainSerializer\n"
"""Before a pickle: where Parsl finds what opens it."""
_BY_DILL = b"02"
"""Parsl's own name of what opens values, the only one while nobody has registered another."""
_DILL, _DILL_CALLABLE = _BY_DILL + b"\n", b"C2\n"


def _parsls() -> Any:
    """Return Parsl's serializers, or None where nobody has loaded them."""
    return sys.modules.get("parsl.serialize.facade")


def _serialize(value: Any) -> bytes:
    if (parsls := _parsls()) is not None:
        return bytes(parsls.serialize(value, buffer_threshold=_NO_THRESHOLD))
    dilled: bytes = dill.dumps(value)
    return (_DILL_CALLABLE if callable(value) else _DILL) + dilled


def _deserialize(data: bytes) -> Any:
    if (parsls := _parsls()) is None:
        if data.startswith(_DILL_CALLABLE):
            return _callable(data)
        if data.startswith(_DILL):
            return dill.loads(data[len(_DILL) :])
        from parsl.serialize import facade as parsls  # noqa: PLC0415 - see the module
    return parsls.deserialize(data)


@functools.lru_cache
def _callable(data: bytes) -> Any:
    """A function comes with each of its tasks; Parsl opens it once too."""
    return dill.loads(data[len(_DILL_CALLABLE) :])


def pack_call(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> bytes:
    """Return a call as bytes, which Parsl's `unpack_apply_message` opens too.

    Raises:
        Exception: Whatever dill raises.
    """
    parts: list[list[Buffer]] = [[_serialize(function)], _pieces_of(args)]
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
    parsls = _parsls()
    if parsls is None or list(parsls.methods_for_data) == [_BY_DILL]:  # else somebody wants values written their way
        try:
            return [HEADER, *pickled(value)]
        except Exception:  # noqa: BLE001, S110 - dill then says what is wrong
            pass
    return [_serialize(value)]


def open_value(data: bytes | memoryview) -> Any:
    """Return the value.

    Raises:
        Exception: Whatever unpickling raises, which runs the user's code.
    """
    if bytes(data[: len(HEADER)]) == HEADER:
        return pickle.loads(data[len(HEADER) :])
    return _deserialize(bytes(data))
