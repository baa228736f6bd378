"""A value as the content of a file, and back: arrays are views of the file then, which cannot be written."""

import pickle
import sys
from types import BuiltinFunctionType, FunctionType
from typing import Any

import dill

from rhapsody_parsl.data.layout import Buffer, laid_out, parts_of
from rhapsody_parsl.data.tensors import made, reduced
from rhapsody_parsl.payload import HEADER, Plain, is_by_dill, open_value, pack_value

__all__ = ("apart", "opened", "packed")

_BY_DILL = b"rhapsody_parsl.data.packing dill\n"
_ARRAYS = ("numpy", "torch")
_PROTOCOL = 5
_STATED = (FunctionType, BuiltinFunctionType)


class _Pieces(list[Buffer]):
    """A file as pickle sees it: large bytes arrive as they are."""

    write = list.append


class _Arrays(Plain):
    """Pickles built-in values and arrays, which say themselves how."""

    def reducer_override(self, obj: Any) -> Any:
        if obj is made:
            return NotImplemented
        if (how := _in_place(obj)) is not NotImplemented:
            return how
        kind = type(obj)
        module = getattr(obj if kind in _STATED or issubclass(kind, type) else kind, "__module__", None)
        if str(module).partition(".")[0] in _ARRAYS:
            return NotImplemented
        return super().reducer_override(obj)


class _Dill(dill.Pickler):  # type: ignore[misc]  # dill has no types
    """Pickles all else, and leaves out the buffers of arrays: dill itself would copy them."""

    def reducer_override(self, obj: Any) -> Any:
        return _in_place(obj)


def _in_place(obj: Any) -> Any:
    """Return how an array or a tensor is pickled whose bytes are left out; `NotImplemented` for all else."""
    numpy = sys.modules.get("numpy")
    if type(obj) is not getattr(numpy, "ndarray", None):
        return reduced(obj)
    if not (obj.flags.forc or obj.dtype.hasobject):  # numpy itself would write it into the pickle
        obj = numpy.ascontiguousarray(obj)  # type: ignore[union-attr]  # it is loaded
    return obj.__reduce_ex__(_PROTOCOL)


def packed(value: Any) -> list[Buffer]:
    """Return what is to be written, in order; large bytes and arrays as they are.

    Raises:
        Exception: It cannot be pickled.
    """
    return laid_out(*apart(value))


def apart(value: Any) -> tuple[list[Buffer], list[memoryview]]:
    """Return the pieces of a value's pickle, and the buffers that it leaves out.

    Raises:
        Exception: It cannot be pickled.
    """
    if not is_by_dill():
        return [pack_value(value)], []
    buffers: list[pickle.PickleBuffer] = []
    pieces = _Pieces([HEADER])
    try:
        _Arrays(pieces, _PROTOCOL, buffer_callback=buffers.append).dump(value)
    except Exception:  # noqa: BLE001 - dill then says what is wrong
        buffers.clear()
        pieces = _Pieces([_BY_DILL])
        _Dill(pieces, _PROTOCOL, buffer_callback=buffers.append).dump(value)
    return pieces, [buffer.raw() for buffer in buffers]


def opened(file: memoryview) -> Any:
    """Return the value of a file.

    Raises:
        ValueError: It is no such file.
        Exception: Whatever unpickling raises.
    """
    body, *buffers = parts_of(file)
    if bytes(body[: len(HEADER)]) == HEADER:
        return pickle.loads(body[len(HEADER) :], buffers=buffers)
    if bytes(body[: len(_BY_DILL)]) == _BY_DILL:
        return dill.loads(bytes(body[len(_BY_DILL) :]), buffers=buffers)
    return open_value(body)
