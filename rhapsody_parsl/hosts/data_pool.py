"""Files for the next values: their pages are there, which costs more than to fill them. Standard library only.

They are those of dropped values, and some made ahead. A file is used again only when nobody sees the dropped value any
more. So whoever maps one holds a shared lock on what it has opened, as long as the map is there.
"""

import contextlib
import fcntl
import itertools
import os

__all__ = ("LEAST", "DataPool", "hold")

LEAST = 1 << 20
"""Bytes; smaller files are not worth it."""
_MOST = 8
_SHARE = 4
"""Part of the budget that the pool may take."""
_NAME = ".warm"
_numbers = itertools.count(1)


def hold(descriptor: int, path: str) -> None:
    """See that a file is not used for another value while what was opened, or a map of it, is there.

    Raises:
        FileNotFoundError: It is about to be, or is.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        raise FileNotFoundError(path) from None
    if not os.path.samestat(os.fstat(descriptor), os.stat(path)):
        raise FileNotFoundError(path)


class DataPool:
    """That of a folder in shared memory.

    Args:
        root: The folder.
        budget: Bytes of all values there.
    """

    def __init__(self, root: str, budget: int) -> None:
        self._folder, self._most = os.path.join(root, _NAME), budget // _SHARE
        os.makedirs(self._folder, 0o700, exist_ok=True)

    def put(self, path: str) -> None:
        """Take a file that nobody is to find any more, in the place of those that came before it; a small one goes.

        Raises:
            FileNotFoundError: It is not there.
        """
        size = os.stat(path).st_size
        if self._make_way(size):
            os.rename(path, self._name(size))
        else:
            os.unlink(path)

    def prepare(self, size: int) -> None:
        """Have a file for the next value of about this size; a killed process leaves no part of one.

        Raises:
            OSError: There is no memory for it, or the file system has no files without a name.
        """
        if self._fitting(size) or not self._make_way(size):
            return
        descriptor = os.open(self._folder, os.O_RDWR | os.O_TMPFILE, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, size)
            own = f"/proc/self/fd/{descriptor}"  # Python follows it only where it is told of a folder, too
            os.link(own, self._name(size), src_dir_fd=descriptor, follow_symlinks=True)
        finally:
            os.close(descriptor)

    def take(self, path: str, size: int) -> bool:
        """Have a file of about this size at a path, whatever is in it; return whether there is one.

        Raises:
            OSError: There is no room for the rest of it.
        """
        for kept, name in self._fitting(size):
            with contextlib.suppress(FileNotFoundError):
                if not _is_seen(found := os.path.join(self._folder, name)):
                    os.rename(found, path)
                    if kept != size:
                        os.truncate(path, size)
                    return True
        return False

    def make_room(self, excess: int) -> int:
        """Remove files until so many bytes are free, or none is left; return how many more are wanted."""
        for size, name in self._kept():
            if excess <= 0:
                break
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(self._folder, name))
                excess -= size
        return excess

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(size for size, _ in self._kept())

    def _make_way(self, size: int) -> bool:
        """Remove what came first until there is room for a file; return False if there is never room for it."""
        if not LEAST <= size <= self._most:
            return False
        kept = self._kept()
        while len(kept) >= _MOST or size + sum(each for each, _ in kept) > self._most:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(self._folder, kept.pop(0)[1]))
        return True

    def _name(self, size: int) -> str:
        return os.path.join(self._folder, f".{size}.{os.getpid()}.{next(_numbers)}")

    def _fitting(self, size: int) -> list[tuple[int, str]]:
        """Return sizes and names of files of about a size, the nearest first."""
        fitting = [each for each in self._kept() if size <= 2 * each[0] and each[0] <= 2 * size]
        return sorted(fitting, key=lambda each: abs(each[0] - size))

    def _kept(self) -> list[tuple[int, str]]:
        """Return sizes and names of all files, in the order in which they came."""
        found = []
        with os.scandir(self._folder) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    came = entry.stat().st_ctime_ns
                    found.append((came, int(entry.name.split(".")[1]), entry.name))
        return [(size, name) for _, size, name in sorted(found)]


def _is_seen(path: str) -> bool:
    with open(path, "rb", buffering=0) as file:
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False
