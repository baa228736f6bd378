"""The user's bytes: calls and values, by Parsl's serializers, and by plain pickle where that says the same.

Parsl's dill takes 20 µs for `((1,), {})`, pickle's C code less than one. For built-in values and containers of them
both write the same, so those are pickled; everything else, and everything once somebody has registered a serializer of
their own with Parsl, goes Parsl's way. What is written here any Parsl opens: it loads serializers by name.

Parsl itself takes a second or two to import, on each core of a block before its first task. Where nobody has loaded it
nobody has registered a serializer, and dill is called as Parsl would call it.
"""

import functools
import inspect
import pickle
import sys
from collections.abc import Callable, Mapping, Sequence
from types import FunctionType
from typing import Any, cast

import dill

from rhapsody_parsl.contents import sketch, what_stays
from rhapsody_parsl.errors import DataLost, PayloadError
from rhapsody_parsl.telling import described, said
from rhapsody_parsl.trace_context import enter

__all__ = (
    "HEADER",
    "Carried",
    "NotPlain",
    "Plain",
    "is_by_dill",
    "is_plain",
    "not_opened",
    "open_call",
    "open_result",
    "open_value",
    "pack_call",
    "pack_result",
    "pack_value",
    "pickled",
)

_NO_THRESHOLD = 1 << 62  # Parsl logs a warning above a threshold; large values are legitimate here
_PROTOCOL = 5
_PLAIN_DATA = "Pass plain data, or write large and exotic objects to a file and pass its path."
_INSTALL_IN_BLOCK = "What the function and its arguments need must be installed in the block's Python environment too."
_OF_THE_SCRIPT = "<module '__main__'"
_INTO_A_MODULE = (
    "A class of your script's that dill cannot carry, as pydantic's, belongs in a module that the block can import."
)
_INSTALL_AT_DRIVER = "What a result is made of must be installed at the driver too; or return plain data."
_MOST_DIGITS = 24
"""In the length of a part of a call."""

Buffer = bytes | bytearray
Call = tuple[Callable[..., Any], Sequence[Any], dict[str, Any]]


class NotPlain(Exception):  # noqa: N818 - a word from one function to the next
    """Dill may write this otherwise."""


class Carried:
    """What says itself, by `__reduce__`, how it travels: dill would say the same."""

    __slots__ = ()


class _Pieces(list[Buffer]):
    """A file as pickle sees it: large bytes arrive as they are, so that joining the pieces is their only copy."""

    write = list.append


class Plain(pickle.Pickler):
    """Pickles built-in values only: Python asks `reducer_override` for all others, functions and classes too."""

    def reducer_override(self, obj: Any) -> Any:
        """Refuse what dill may write otherwise; the object is asked nothing, for a proxy would fetch its value."""
        kind = type(obj)
        if issubclass(kind, Carried) or (kind is FunctionType and obj.__module__ == _CARRIERS):
            return NotImplemented
        raise NotPlain


_CARRIERS = "rhapsody_parsl.data.reference"
"""Where the functions are that open what is carried."""


def pickled(value: Any) -> list[Buffer]:
    """Return the pickle of a plain value, in pieces.

    Raises:
        Exception: It is not plain, or not picklable.
    """
    pieces = _Pieces()
    Plain(pieces, _PROTOCOL).dump(value)
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
    return _of_callable(value) if callable(value) else _DILL + cast(bytes, dill.dumps(value))


@functools.lru_cache
def _of_callable_known(function: Any) -> bytes:
    return _DILL_CALLABLE + cast(bytes, dill.dumps(function))


def _of_callable(function: Any) -> bytes:
    """Return a function as bytes; one that comes with each of many tasks is written once, as Parsl does."""
    try:
        return _of_callable_known(function)
    except TypeError:  # not hashable
        return _DILL_CALLABLE + cast(bytes, dill.dumps(function))


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


def pack_call(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], trace: str = "") -> bytes:
    """Return a call as bytes, which Parsl's `unpack_apply_message` opens too.

    Args:
        function: What is called.
        args: With what.
        kwargs: See there.
        trace: The span that the call belongs to, as a `traceparent`; "" for none. It makes a fourth part.

    Raises:
        PayloadError: A part cannot be pickled.
    """
    part, value = "function", cast(Any, function)
    try:
        parts: list[list[Buffer]] = [[_serialize(function)]]
        for part, value in (("arguments", args), ("keyword arguments", kwargs)):  # noqa: B007 - to be told
            parts.append(_pieces_of(value))
        if trace:
            parts.append(_pieces_of(trace))
    except Exception as problem:
        raise PayloadError("function or arguments", _not_packed(value, part, problem), _PLAIN_DATA) from problem
    return b"".join(piece for each in parts for piece in (b"%d\n" % sum(map(len, each)), *each))


def _not_packed(value: Any, name: str, problem: BaseException) -> str:
    return f"{said(problem)}. What cannot be serialized: {what_stays(value, pack_value, name)}"


def open_call(payload: bytes | memoryview) -> Call:
    """Return function, positional and keyword arguments of a call, and be in its span where it has one.

    Raises:
        DataLost: An argument was given by reference, and its value is gone.
        PayloadError: Its value, or a part cannot be opened, which runs the user's code; the cause is what that raised.
    """
    view, parts, opened, at = memoryview(payload), [], [], 0
    try:
        while at < len(payload):
            end = at + bytes(view[at : at + _MOST_DIGITS]).index(b"\n")
            start, at = end + 1, end + 1 + int(payload[at:end])
            parts.append(view[start:at])
            opened.append(open_value(parts[-1]))
        function, args, kwargs, *trace = opened
    except (DataLost, PayloadError):  # of a reference among the arguments
        raise
    except BaseException as problem:
        raise _not_opened(parts, opened, problem) from problem
    if trace:
        enter(trace[0])
    return function, args, kwargs


def _not_opened(parts: list[memoryview], opened: list[Any], problem: BaseException) -> PayloadError:
    """Say which part of a call cannot be opened, and what is missing for it."""
    if len(opened) >= len(parts):
        return PayloadError("payload", f"it is no call ({said(problem)})", "This is a defect of rhapsody-parsl.")
    part = ("function", "arguments", "keyword arguments")[min(len(opened), 2)]
    found = sketch(_body(parts[-1]))
    told = f"{said(problem)}"
    if found and opened:
        items = found.incomplete()
        names = [_name_of(opened[0], key) for key, _ in items]
        told += "".join(f"; {name} is {described(item)}" for name, (_, item) in zip(names, items, strict=True))
    if found and found.missing:
        told += f"; missing in the block: {', '.join(found.missing[:5])}"
    return not_opened(part, problem, told)


def not_opened(what: str, problem: BaseException, told: str = "") -> PayloadError:
    """Return the error of what a task takes and its process cannot open.

    Args:
        what: That, for people.
        problem: What was raised.
        told: More words for it.
    """
    told = told or said(problem)
    return PayloadError(what, told, _INTO_A_MODULE if _OF_THE_SCRIPT in told else _INSTALL_IN_BLOCK)


def _name_of(function: Any, key: Any) -> str:
    """Name an argument: a keyword by itself, a position with the parameter's name."""
    if isinstance(key, str):
        return f"argument {key!r}"
    try:
        return f"argument {key} ({list(inspect.signature(function).parameters)[key]!r})"
    except Exception:  # noqa: BLE001 - any callable has come here
        return f"argument {key}"


def pack_value(value: Any) -> bytes:
    """Return a value as bytes, which Parsl's `deserialize` opens too.

    Raises:
        Exception: Whatever dill raises.
    """
    return b"".join(_pieces_of(value))


def pack_result(value: Any, what: str = "result") -> bytes:
    """Return a task's result as bytes.

    Args:
        value: The result.
        what: What else it is, for people.

    Raises:
        PayloadError: It cannot be pickled, which runs the user's code; the cause is what that raised.
    """
    try:
        return pack_value(value)
    except BaseException as problem:
        raise PayloadError(what, _not_packed(value, what, problem)) from problem


def open_result(data: bytes | memoryview, what: str = "result") -> Any:
    """Return a task's result.

    Args:
        data: Its bytes.
        what: What else it is, for people.

    Raises:
        PayloadError: It cannot be opened, which runs the user's code; the cause is what that raised.
    """
    try:
        return open_value(data)
    except BaseException as problem:
        found = sketch(_body(data))
        told = f"{said(problem)}; {found.text}" if found else said(problem)
        raise PayloadError(what, told, _INSTALL_AT_DRIVER) from problem


def is_by_dill() -> bool:
    """Whether dill writes what is not plain: nobody wants values written their own way."""
    parsls = _parsls()
    return parsls is None or list(parsls.methods_for_data) == [_BY_DILL]


def _pieces_of(value: Any) -> list[Buffer]:
    if is_by_dill():
        try:
            return [HEADER, *pickled(value)]
        except Exception:  # noqa: BLE001, S110 - dill then says what is wrong
            pass
    return [_serialize(value)]


def is_plain(data: Any) -> bool:
    """Whether these are the bytes of a value that is opened without anybody's code."""
    return isinstance(data, bytes | memoryview) and bytes(data[: len(HEADER)]) == HEADER


def _body(data: bytes | memoryview) -> bytes | None:
    """Return the pickle in a packed value; None when a serializer that somebody has registered wrote it."""
    for header in (HEADER, _DILL, _DILL_CALLABLE):
        if bytes(data[: len(header)]) == header:
            return bytes(data[len(header) :])
    return None


def open_value(data: bytes | memoryview) -> Any:
    """Return the value.

    Raises:
        Exception: Whatever unpickling raises, which runs the user's code.
    """
    if bytes(data[: len(HEADER)]) == HEADER:
        return pickle.loads(data[len(HEADER) :])
    return _deserialize(bytes(data))
