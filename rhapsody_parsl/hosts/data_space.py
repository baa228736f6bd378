"""A file in shared memory that is to be filled, by a copy where its pages are mapped. Standard library only.

To make the pages of a file takes the kernel three times as long as to fill them, and to map them as long again. To
write to them takes three times as long as a copy. Huge pages take a tenth of it all. Linux makes them on demand since
6.1, whatever it is set to do by itself.
"""

import contextlib
import ctypes
import fcntl
import io
import mmap
import os
import time
import weakref
from collections.abc import Sequence
from errno import EINVAL
from typing import cast

__all__ = ("HUGE", "DataSpace", "hold", "mapped", "opened", "writable", "write_at")

HUGE = 2 << 20
"""Bytes of a huge page, nearly everywhere; as many small ones take a millisecond."""
_LONG = 0.002
"""Seconds for a huge page: memory is in pieces, or comes from the host of a virtual machine."""
_BLOCK = 512
"""Bytes that `st_blocks` counts."""
_MAP_FIXED, _NORESERVE, _DONTNEED, _POPULATE_WRITE, _COLLAPSE = 0x10, 0x4000, 4, 23, 25
"""Linux's numbers of what Python does not name."""
_libc = ctypes.CDLL(None, use_errno=True)  # its calls leave the interpreter to other threads
_libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
_libc.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long)
_libc.mmap.restype = ctypes.c_void_p


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


class _Map(mmap.mmap):
    """A map of a value.

    Attributes:
        is_private: Whether what is written to it is this process's own.
    """

    is_private = False


def mapped(descriptor: int, size: int, access: int = mmap.PROT_READ) -> memoryview:
    """Return the content of a file, its huge pages as such where there is room; the map goes with the last look at it.

    Args:
        descriptor: Of the file; it may be closed.
        size: In bytes, not 0.
        access: `PROT_READ`, or that and `PROT_WRITE`.

    Raises:
        OSError: It cannot be mapped.
    """
    if access != mmap.PROT_READ:
        return _map(descriptor, size, mmap.MAP_SHARED, access)
    try:
        seen = _map(descriptor, size, mmap.MAP_PRIVATE | _NORESERVE, mmap.PROT_READ | mmap.PROT_WRITE)
    except OSError:  # this host promises no more memory than it has
        return _map(descriptor, size, mmap.MAP_SHARED, access).toreadonly()
    cast(_Map, seen.obj).is_private = True
    return seen.toreadonly()


def _map(descriptor: int, size: int, flags: int, access: int) -> memoryview:
    room = None
    if size >= HUGE:
        with contextlib.suppress(OSError):  # it counts as memory of this process, for a moment
            room = _Map(-1, size + HUGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NORESERVE)
    if room is None:
        return memoryview(_Map(descriptor, size, flags, access))
    start = ctypes.addressof(ctypes.c_char.from_buffer(room))
    skipped = -start % HUGE
    if _libc.mmap(start + skipped, size, access, flags | _MAP_FIXED, descriptor, 0) != start + skipped:
        raise OSError(ctypes.get_errno(), "a value cannot be mapped")
    return memoryview(room)[skipped : skipped + size]


def writable(part: memoryview, address: int) -> memoryview | None:
    """Return a part of what `mapped` gave to be read, to be written, too: who writes has pages of its own from then on.

    None where that cannot be.

    Args:
        part: That.
        address: Where it lies; what cannot be written says so to C alone.
    """
    whole = part.obj
    if not isinstance(whole, _Map) or not whole.is_private:
        return None
    at = address - ctypes.addressof(ctypes.c_char.from_buffer(whole))
    return memoryview(whole)[at : at + len(part)]


def write_at(descriptor: int, at: int, piece: bytes | bytearray | memoryview) -> None:
    """Write all of a piece to a file, from a byte on.

    Raises:
        OSError: There is no room.
    """
    left = memoryview(piece)
    while left:
        written = os.pwrite(descriptor, left, at)
        left, at = left[written:], at + written


class DataSpace:
    """It is made where there is none. Who fills it is never killed for want of memory.

    Args:
        path: Of the file.
        size: In bytes, not 0; a larger file stays so.
        how: See `hold`.

    Attributes:
        path: See above.
        memory: All of the file. From `ready` on it is not to be touched.
        ready: Bytes whose pages are there, and mapped where the kernel maps ahead.

    Raises:
        OSError: It is somebody else's, or cannot be mapped.
    """

    def __init__(self, path: str, size: int, how: int = fcntl.LOCK_SH) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        weakref.finalize(self, os.close, self._descriptor).atexit = False
        hold(self._descriptor, path, how)
        found = os.fstat(self._descriptor)
        if found.st_size < size:
            os.ftruncate(self._descriptor, size)
        self.path, self.ready = path, 0
        self.memory = mapped(self._descriptor, max(size, found.st_size), mmap.PROT_READ | mmap.PROT_WRITE)
        self._start = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        whole = len(self.memory)
        self._made = whole if found.st_blocks * _BLOCK >= whole else 0
        self._is_huge, self._maps = size >= HUGE, True

    def more(self) -> bool:
        """Have the next pages there, or mapped, for a millisecond or two; return whether there is more to do.

        Small pages are made for all of the file first, for that saves more than to map them does.

        Raises:
            OSError: There is no room.
        """
        total = len(self.memory)
        length = min(HUGE, total - self.ready)
        self._is_huge = self._is_huge and (length < HUGE or self._collapsed())
        if self._made < total and not (self._is_huge and self._made >= self.ready + length):
            self._allocate(min(HUGE, total - self._made))
            return True
        if length and self._maps and self._advised(_POPULATE_WRITE, self.ready, length):
            if ctypes.get_errno() != EINVAL:
                raise OSError(ctypes.get_errno(), "there is no room for a value")
            self._maps = False
        self.ready += length
        return self.ready < total

    def fill(self, pieces: Sequence[bytes | bytearray | memoryview], at: int = 0) -> None:
        """Copy pieces into it, from a byte on; what is not ready is written.

        Raises:
            OSError: There is no room.
        """
        for piece in pieces:
            left = memoryview(piece)
            while left:
                part = left[: HUGE - at % HUGE]
                self._put(at, part)
                left, at = left[len(part) :], at + len(part)

    def fits(self, size: int) -> bool:
        """Whether it is for a value of this size."""
        return size <= len(self.memory) <= 2 * size

    def become(self, path: str, size: int) -> None:
        """Have the file at another path, of another size.

        Raises:
            OSError: It was taken away.
        """
        os.rename(self.path, path)
        self.path = path
        hold(self._descriptor, path)
        if size != len(self.memory):
            os.truncate(path, size)
            self.memory, self.ready, self._made = self.memory[:size], min(size, self.ready), min(size, self._made)

    def _put(self, at: int, part: memoryview) -> None:
        end = at + len(part)
        if self._is_huge and self.ready < end and self.ready + HUGE <= len(self.memory):
            self.more()
        if self._maps and end <= self.ready:
            self.memory[at:end] = part
            if self._is_huge and end % HUGE == 0:  # what a process has mapped counts as its memory
                self._advised(_DONTNEED, end - HUGE, HUGE)
        else:
            write_at(self._descriptor, at, part)

    def _collapsed(self) -> bool:
        """Have the next pages be a huge one; return whether the one after it should be, too."""
        os.pwrite(self._descriptor, b"\0", self.ready)  # the kernel looks for a page
        began = time.thread_time()
        if self._advised(_COLLAPSE, self.ready, HUGE):
            return False
        self._made = max(self._made, self.ready + HUGE)
        return time.thread_time() - began < _LONG

    def _allocate(self, length: int) -> None:
        os.posix_fallocate(self._descriptor, self._made, length)
        self._made += length

    def _advised(self, advice: int, at: int, length: int) -> int:
        return int(_libc.madvise(self._start + at, length, advice))
