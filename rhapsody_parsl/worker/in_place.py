"""Arrays that a task makes in the file where they are to stay, so that to leave them as its result copies nothing."""

import os
import weakref
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from rhapsody_parsl.data.layout import BEFORE, Buffer, before
from rhapsody_parsl.hosts.data_files import DataFiles
from rhapsody_parsl.hosts.data_space import DataSpace
from rhapsody_parsl.worker import spare
from rhapsody_parsl.worker.line import line
from rhapsody_parsl.worker.references import files_here

if TYPE_CHECKING:
    import numpy

__all__ = ("empty", "kept")

_drafts: dict[int, tuple[str, int]] = {}
"""Paths and sizes of those that this process has made, by the address of the array."""


def empty(shape: int | Sequence[int], dtype: Any = "float64") -> "numpy.ndarray[Any, Any]":
    """Return a new array of NumPy, its elements not set, in the memory where results by reference stay.

    A task with `Policy(result="reference")` that returns it, or a value with no other array in it, leaves it without a
    copy. Anywhere else it is `numpy.empty`.

    Args:
        shape: As for `numpy.empty`.
        dtype: As there.
    """
    import numpy  # noqa: PLC0415 - whoever calls this has it

    plain = numpy.dtype(dtype)
    count = int(numpy.prod(shape))
    size = count * plain.itemsize
    files, here = files_here(), line()
    space = _space(files, BEFORE + size, str(here.task())) if files and here and size and not plain.hasobject else None
    if space is None:
        return numpy.empty(shape, plain)
    array = numpy.frombuffer(space.memory, plain, count, BEFORE).reshape(shape)
    address = array.ctypes.data
    _drafts[address] = space.path, size
    weakref.finalize(space.memory.obj, _forget, address, space.path).atexit = False
    return array


def _space(files: DataFiles, size: int, draft: str) -> DataSpace | None:
    """Return a file with all its pages, which are mapped, for the user is to fill them; None where there is no room."""
    space = None
    try:
        space = spare.drawn(files, size, draft) or files.space(size, draft)
        while space.more():
            pass
    except OSError:
        if space:
            files.give_up(space)
        return None
    return space


def kept(files: DataFiles, key: str, pickle: Sequence[Buffer], buffers: Sequence[memoryview]) -> int:
    """Have the file of an array be the value, if the array is all that its pickle leaves out; return its size, else 0.

    Raises:
        OSError: It cannot be.
    """
    if not _drafts or len(buffers) != 1:
        return 0
    import numpy  # noqa: PLC0415 - it is loaded: there are arrays

    address, length = numpy.frombuffer(buffers[0], "u1").ctypes.data, len(buffers[0])
    path, size = _drafts.get(address, ("", 0))
    first = before(pickle, length) if path and size == length else None
    return files.keep(path, key, first) if first else 0


def _forget(address: int, path: str) -> None:
    if _drafts.pop(address, None):
        with suppress(OSError):  # it stays, under another name
            os.unlink(path)


os.register_at_fork(after_in_child=_drafts.clear)  # they are its parent's
