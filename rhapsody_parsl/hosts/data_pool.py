"""Files for the next values: their pages are there, which costs more than to fill them. Standard library only.

They are those of dropped values, and some made ahead. A file is used again only when nobody sees the dropped value any
more. So whoever maps one holds a shared lock on what it has opened, as long as the map is there. A process may have one
for its own next value, and locks all others out. What is killed meanwhile may leave one without all its pages.
"""

import contextlib
import fcntl
import itertools
import os

from rhapsody_parsl.hosts.data_space import DataSpace

__all__ = ("LEAST", "DataPool")

LEAST = 1 << 20
"""Bytes; smaller files are not worth it."""
_MOST = 64
_SHARE = 4
"""Part of the budget that the pool may take."""
_NAME = ".warm"
_numbers = itertools.count(1)


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

    def take(self, path: str, size: int) -> bool:
        """Have a file of about this size at a path, whatever is in it; return whether there is one.

        Raises:
            OSError: There is no room for the rest of it.
        """
        for kept, name in self._fitting(size):
            with contextlib.suppress(FileNotFoundError):
                if not _is_seen(found := self._path(name)):
                    os.rename(found, path)
                    if kept != size:
                        os.truncate(path, size)
                    return True
        return False

    def spare(self, size: int, *, new: bool) -> DataSpace | None:
        """Have a file of at least about this size, kept from all others; None where there is none.

        Args:
            size: In bytes.
            new: Whether one may be made.

        Raises:
            OSError: It cannot be mapped.
        """
        for _, name in self._fitting(size):
            with contextlib.suppress(FileNotFoundError):
                return DataSpace(self._path(name), size, fcntl.LOCK_EX)
        return DataSpace(self._name(size), size, fcntl.LOCK_EX) if new and self._make_way(size) else None

    def make_room(self, excess: int) -> int:
        """Remove files until so many bytes are free, or none is left; return how many more are wanted.

        Those that somebody sees stay: to remove them frees nothing.
        """
        for size, name in self._kept():
            if excess <= 0:
                break
            excess -= size if self._remove(name) else 0
        return excess

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(size for size, _ in self._kept())

    def _make_way(self, size: int) -> bool:
        """Remove what came first until there is room for a file; return whether there is."""
        if not LEAST <= size <= self._most:
            return False
        kept = self._kept()
        count, total = len(kept) + 1, size + sum(each for each, _ in kept)
        for each, name in kept:
            if count <= _MOST and total <= self._most:
                break
            if self._remove(name):
                count, total = count - 1, total - each
        return count <= _MOST and total <= self._most

    def _remove(self, name: str) -> bool:
        """Remove a file that nobody sees; return whether there was one."""
        try:
            if _is_seen(path := self._path(name)):
                return False
            os.unlink(path)
        except FileNotFoundError:
            pass
        return True

    def _path(self, name: str) -> str:
        return os.path.join(self._folder, name)

    def _name(self, size: int) -> str:
        return self._path(f".{size}.{os.getpid()}.{next(_numbers)}")

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
