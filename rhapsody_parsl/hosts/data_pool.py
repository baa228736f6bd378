"""Files of dropped values, kept for the next ones: their pages are there, which costs more than to fill them.

A file is used again only when nobody sees the dropped value any more. So whoever maps one holds a shared lock on what
it has opened, as long as the map is there. Standard library only.
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
        """Take a file that nobody is to find any more; it is removed where it is still seen, or too much.

        Raises:
            FileNotFoundError: It is not there.
        """
        size = os.stat(path).st_size
        kept = self._kept()
        if size < LEAST or len(kept) >= _MOST or size + sum(each for each, _ in kept) > self._most:
            os.unlink(path)
            return
        taken = os.path.join(self._folder, f".{os.getpid()}.{next(_numbers)}")
        os.rename(path, taken)
        if _is_seen(taken):
            os.unlink(taken)
        else:
            os.rename(taken, os.path.join(self._folder, f".{size}{os.path.basename(taken)}"))

    def take(self, path: str, size: int) -> bool:
        """Have a file of about this size at a path, whatever is in it; return whether there is one.

        Raises:
            OSError: There is no room for the rest of it.
        """
        for kept, name in sorted(self._kept(), key=lambda each: abs(each[0] - size)):
            if size <= 2 * kept and kept <= 2 * size:
                with contextlib.suppress(FileNotFoundError):
                    os.rename(os.path.join(self._folder, name), path)
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

    def _kept(self) -> list[tuple[int, str]]:
        names = [name.split(".") for name in os.listdir(self._folder)]
        return [(int(parts[1]), ".".join(parts)) for parts in names if len(parts) == 4]  # noqa: PLR2004 - see `put`


def _is_seen(path: str) -> bool:
    with open(path, "rb", buffering=0) as file:
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False
