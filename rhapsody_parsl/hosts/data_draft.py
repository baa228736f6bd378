"""A value's file while it is written piece by piece: it is the value once it is whole, or never was there."""

import contextlib
import io
import os

from rhapsody_parsl.hosts import data_space
from rhapsody_parsl.hosts.data_space import HUGE, DataSpace, write_at

__all__ = ("DataDraft",)


class DataDraft:
    """A file that is not yet whole. Its pages are made with its pieces: to make them all before takes longer.

    Args:
        path: Of the file, which is made where it is not there.
        target: Where the value is to lie, on the same file system.
        size: In bytes, of one in shared memory; a large one has huge pages.

    Raises:
        OSError: It cannot be made.
    """

    def __init__(self, path: str, target: str, size: int = 0) -> None:
        self._path, self._target, self._at = path, target, 0
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        self._is_open, self._space = True, None  # type: bool, DataSpace | None
        if size >= HUGE:
            with contextlib.suppress(OSError):  # this process may be allowed to map no more
                self._space = DataSpace(path, size)

    def write(self, piece: bytes | bytearray | memoryview) -> None:
        """Write the next piece.

        Raises:
            OSError: It cannot be.
        """
        if self._space:
            self._space.fill([piece], self._at)
        else:
            write_at(self._descriptor, self._at, piece)
        self._at += len(piece)

    def opened(self) -> io.FileIO:
        """Return it, to be read while it is written.

        Raises:
            FileNotFoundError: It is the value, or is not to be.
        """
        return data_space.opened(self._path)

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
        self._is_open, self._space = False, None
        os.close(self._descriptor)
