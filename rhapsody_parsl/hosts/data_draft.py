"""A value's file while it is written piece by piece: it is the value once it is whole, or never was there."""

import contextlib
import io
import os

from rhapsody_parsl.hosts import data_space

__all__ = ("DataDraft",)


class DataDraft:
    """A file that is not yet whole. Its pages are made with its pieces: to make them all before takes longer.

    Args:
        path: Of the file, which is made where it is not there.
        target: Where the value is to lie, on the same file system.

    Raises:
        OSError: It cannot be made.
    """

    def __init__(self, path: str, target: str) -> None:
        self._path, self._target = path, target
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        self._is_open = True

    def write(self, piece: bytes | memoryview) -> None:
        """Write the next piece.

        Raises:
            OSError: It cannot be.
        """
        left = memoryview(piece)
        while left:
            left = left[os.write(self._descriptor, left) :]

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
        self._is_open = False
        os.close(self._descriptor)
