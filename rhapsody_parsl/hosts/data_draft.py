"""A value's file while it is written piece by piece: it is the value once it is whole, or never was there."""

import contextlib
import os

__all__ = ("DataDraft", "allocate")

_BLOCK = 512
"""Bytes that `st_blocks` counts."""


def allocate(descriptor: int, size: int) -> None:
    """Have all pages of a file there; to look at those that are costs the kernel half as much as to make them.

    Raises:
        OSError: There is no room.
    """
    if size and os.fstat(descriptor).st_blocks * _BLOCK < size:
        os.posix_fallocate(descriptor, 0, size)


class DataDraft:
    """A file that is not yet whole.

    Args:
        path: Of the file, which is made where it is not there.
        target: Where the value is to lie, on the same file system.
        size: In bytes. Its pages come as they are written: to make them all before takes longer, and at one go.

    Raises:
        OSError: It cannot be made.
    """

    def __init__(self, path: str, target: str, size: int) -> None:
        self._path, self._target, self._left = path, target, size
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        self._is_open = True

    def write(self, piece: bytes | memoryview) -> None:
        """Write the next piece.

        Raises:
            OSError: It cannot be.
        """
        left = memoryview(piece)
        while left:
            written = os.write(self._descriptor, left)
            left, self._left = left[written:], self._left - written

    @property
    def is_whole(self) -> bool:
        """Whether all of it is written."""
        return self._left == 0

    def keep(self) -> None:
        """Have it be the value.

        Raises:
            OSError: It cannot be.
        """
        self._close()
        os.rename(self._path, self._target)

    def drop(self) -> None:
        """It is not to be the value; idempotent."""
        if self._is_open:
            self._close()
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path)

    def _close(self) -> None:
        self._is_open = False
        os.close(self._descriptor)
