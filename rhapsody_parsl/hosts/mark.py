"""Which task a worker began last, told by a file that survives the worker. Standard library only.

A worker holds tasks ahead. When it dies, those it had not begun can run elsewhere, if somebody knows which they are: so
the worker writes the number of each task it begins into a few mapped bytes in the private folder of its host, which
costs nothing. Whoever learns of its end on that host reads them: the pilot, its node agent, or Dragon's head.

Before a task with a limit of memory the worker also writes what it holds then, and for which run. The host's memory
watch reads that from outside: it does not count against the task.
"""

import contextlib
import functools
import glob
import mmap
import os
import struct

__all__ = ("NONE", "Mark", "Seen", "folder_of", "made", "mark_of", "take")

_NUMBER = struct.Struct("<q")
_ALL = struct.Struct("<qqq")
"""The task, the run whose tasks the next number is for, and the bytes held before them."""
_SUFFIX = ".begun"
NONE = -1
"""No task has this number."""


def folder_of(endpoint: str) -> str:
    """Return the private folder of this host, where a worker leaves its mark: a hub's socket lies in it."""
    return os.path.dirname(endpoint.removeprefix("ipc://"))


def mark_of(folder: str, worker: str) -> str:
    """Return the pattern of a worker's mark, or of several for a pattern of names; the folder is no pattern."""
    return f"{_escaped(folder)}/{worker}{_SUFFIX}"


@functools.cache
def _escaped(folder: str) -> str:
    return glob.escape(folder)


def take(pattern: str) -> "dict[str, int]":
    """Return the task that each worker began last, NONE when it began none, by worker; the marks are gone afterwards.

    Args:
        pattern: Of the marks' files, as of `mark_of`.
    """
    found = {}
    for path in glob.glob(pattern):
        with contextlib.suppress(OSError, struct.error), open(path, "rb") as file:
            os.unlink(path)
            found[os.path.basename(path).removesuffix(_SUFFIX)] = int(_NUMBER.unpack(file.read(_NUMBER.size))[0])
    return found


def made(folder: str, worker: str) -> "Mark | None":
    """Return a worker's mark; None where there is no room for it: with the worker all that it holds is lost then."""
    try:
        return Mark(folder, worker)
    except OSError:
        return None


class Mark:
    """The worker's end.

    Args:
        folder: Private, on the worker's host.
        worker: The worker's name.
    """

    def __init__(self, folder: str, worker: str) -> None:
        with open(os.path.join(folder, f"{worker}{_SUFFIX}"), "w+b") as file:
            file.write(_ALL.pack(NONE, NONE, 0))
            file.flush()
            self._bytes = mmap.mmap(file.fileno(), _ALL.size)

    def begin(self, task: int) -> None:
        """Note that a task begins."""
        _NUMBER.pack_into(self._bytes, 0, task)

    def holds(self, run: int, held: int) -> None:
        """Note what the worker holds before the next task of a run.

        Args:
            run: The run.
            held: Bytes.
        """
        _NUMBER.pack_into(self._bytes, 2 * _NUMBER.size, held)
        _NUMBER.pack_into(self._bytes, _NUMBER.size, run)


class Seen:
    """A worker's mark as another process of its host sees it.

    Args:
        folder: Private.
        worker: The worker's name.

    Raises:
        OSError: There is none.
        ValueError: It is not complete.
    """

    def __init__(self, folder: str, worker: str) -> None:
        with open(os.path.join(folder, f"{worker}{_SUFFIX}"), "rb") as file:
            self._bytes = mmap.mmap(file.fileno(), _ALL.size, prot=mmap.PROT_READ)

    def read(self) -> "tuple[int, int, int]":
        """Return the task begun last, the run that the worker works for if it has a limit, and what it held before."""
        return _ALL.unpack(self._bytes)
