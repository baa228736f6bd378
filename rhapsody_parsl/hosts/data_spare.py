"""A file of the pool that a process has mapped ahead, pages and all: to fill it costs a copy. Standard library only.

Written to, a file costs three times as much as a copy: the kernel looks each page up.
"""

import contextlib
import ctypes
import fcntl
import io
import mmap
import os
import weakref

__all__ = ("DataSpare", "hold", "opened")

_POPULATE_WRITE = 23
"""Linux's `MADV_POPULATE_WRITE`, which Python does not name."""
_AT_ONCE = 4 << 20
"""Bytes; while their pages are mapped, no other thread can map or unmap anything: one millisecond."""
_libc = ctypes.CDLL(None, use_errno=True)  # its calls leave the interpreter to other threads
_libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)


def hold(descriptor: int, path: str, how: int = fcntl.LOCK_SH) -> None:
    """See that a file is not used for another value while what was opened, or a map of it, is there.

    Args:
        descriptor: What was opened.
        path: Of the file.
        how: `LOCK_EX` has nobody else hold it either.

    Raises:
        FileNotFoundError: It is about to be used, or is.
    """
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except OSError:
        raise FileNotFoundError(path) from None
    if not os.path.samestat(os.fstat(descriptor), os.stat(path)):
        raise FileNotFoundError(path)


def opened(path: str) -> io.FileIO:
    """Return a file, to be read, which is used for no other value while it is open.

    Raises:
        FileNotFoundError: It is not there.
    """
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(open(path, "rb", buffering=0))
        hold(file.fileno(), path)
        stack.pop_all()
        return file


class DataSpare:
    """It is nobody else's while this is there, and in the pool again when this goes.

    Args:
        descriptor: Of the file, held alone; it is closed with this.
        path: Of the file.

    Attributes:
        memory: All of the file.

    Raises:
        OSError: It cannot be mapped, or the kernel maps no pages ahead (before Linux 5.14).
    """

    def __init__(self, descriptor: int, path: str) -> None:
        weakref.finalize(self, os.close, descriptor).atexit = False
        self._descriptor, self._path = descriptor, path
        self.memory = mmap.mmap(descriptor, 0)
        start = ctypes.c_char.from_buffer(self.memory)
        for at in range(0, len(self.memory), _AT_ONCE):
            length = min(_AT_ONCE, len(self.memory) - at)
            if _libc.madvise(ctypes.addressof(start) + at, length, _POPULATE_WRITE):
                raise OSError(ctypes.get_errno(), "the kernel maps no pages ahead")

    def fits(self, size: int) -> bool:
        """Whether it is for a value of this size."""
        return size <= len(self.memory) <= 2 * size

    def become(self, path: str, size: int) -> None:
        """Have the file at another path, of another size, for whoever has `memory` to fill.

        Raises:
            OSError: It was taken away.
        """
        os.rename(self._path, path)
        hold(self._descriptor, path)
        if size != len(self.memory):
            os.truncate(path, size)
