"""Which task a worker began last, told by a file that survives the worker.

A worker holds tasks ahead. When it dies, those it had not begun can run elsewhere, if somebody knows which they are: so
the worker writes the number of each task it begins into eight mapped bytes beside its socket, which costs nothing, and
the pilot reads them after its end.
"""

import mmap
import struct
from pathlib import Path

__all__ = ("NONE", "Mark", "last_begun")

_NUMBER = struct.Struct("<q")
NONE = -1
"""No task has this number."""


class Mark:
    """The worker's end.

    Args:
        endpoint: The hub's; only a hub on this host (`ipc://`) has a folder for marks.
        name: The worker's.
    """

    def __init__(self, endpoint: str, name: str) -> None:
        path = _path(endpoint, name)
        self._bytes: mmap.mmap | None = None
        if path is not None:
            path.write_bytes(_NUMBER.pack(NONE))
            with path.open("r+b") as file:
                self._bytes = mmap.mmap(file.fileno(), _NUMBER.size)

    def begin(self, task: int) -> None:
        """Note that a task begins."""
        if self._bytes is not None:
            _NUMBER.pack_into(self._bytes, 0, task)


def last_begun(endpoint: str, name: str) -> int | None:
    """Return the task that a worker began last, NONE when it began none, or None when nobody can know.

    The mark is gone afterwards.
    """
    path = _path(endpoint, name)
    if path is None or not path.exists():
        return None
    task: int = _NUMBER.unpack(path.read_bytes())[0]
    path.unlink()
    return task


def _path(endpoint: str, name: str) -> Path | None:
    if not endpoint.startswith("ipc://"):
        return None
    return Path(endpoint.removeprefix("ipc://")).parent / f"{name}.begun"
