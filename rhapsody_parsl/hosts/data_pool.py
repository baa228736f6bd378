"""Files for the next values: their pages are there, which costs more than to fill them. Standard library only.

They are those of dropped values, and some made ahead. A file is used again only when nobody sees the dropped value any
more. So whoever maps one holds a shared lock on what it has opened, as long as the map is there. A process may have one
for its own next value, and locks all others out. What is killed meanwhile may leave one without all its pages.
"""

import contextlib
import fcntl
import itertools
import os
from collections.abc import Iterator

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
        if self._make_way(os.stat(path).st_size):
            os.rename(path, self._name())
        else:
            os.unlink(path)

    def take(self, path: str, size: int) -> bool:
        """Have a file of about this size at a path, whatever is in it; return whether there is one.

        Raises:
            OSError: There is no room for the rest of it.
        """
        for found in self._fitting(size):
            with contextlib.suppress(FileNotFoundError), _alone(found) as alone:
                if alone:
                    os.truncate(found, size)
                    os.rename(found, path)
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
        for found in self._fitting(size):
            with contextlib.suppress(FileNotFoundError):
                return DataSpace(found, size, fcntl.LOCK_EX)
        return DataSpace(self._name(), size, fcntl.LOCK_EX) if new and self._make_way(size) else None

    def make_room(self, excess: int) -> int:
        """Remove files until so many bytes are free, or none is left; return how many more are wanted.

        Those that somebody sees stay: to remove them frees nothing.
        """
        for size, path in self._kept():
            if excess <= 0:
                break
            excess -= size if _removed(path) else 0
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
        for each, path in kept:
            if count <= _MOST and total <= self._most:
                break
            if _removed(path):
                count, total = count - 1, total - each
        return count <= _MOST and total <= self._most

    def _name(self) -> str:
        return os.path.join(self._folder, f".{os.getpid()}.{next(_numbers)}")

    def _fitting(self, size: int) -> list[str]:
        """Return the paths of files of about a size, the nearest first."""
        fitting = [each for each in self._kept() if size <= 2 * each[0] and each[0] <= 2 * size]
        return [path for _, path in sorted(fitting, key=lambda each: abs(each[0] - size))]

    def _kept(self) -> list[tuple[int, str]]:
        """Return sizes and paths of all files, in the order in which they came."""
        found = []
        with os.scandir(self._folder) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    facts = entry.stat()
                    found.append((facts.st_ctime_ns, facts.st_size, entry.path))
        return [(size, path) for _, size, path in sorted(found)]


@contextlib.contextmanager
def _alone(path: str) -> Iterator[bool]:
    """Have a file that nobody sees, and nobody else has meanwhile; yield whether it is such a one."""
    with open(path, "rb", buffering=0) as file:
        alone = True
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            alone = False
        yield alone


def _removed(path: str) -> bool:
    """Remove a file that nobody sees; return whether it is gone."""
    with contextlib.suppress(FileNotFoundError), _alone(path) as alone:
        if not alone:
            return False
        os.unlink(path)
    return True
