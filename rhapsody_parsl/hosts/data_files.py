"""Values that are kept by reference, as files of a host: in shared memory, and on its disk beyond a budget.

Standard library only. Whoever writes a value makes room first: the values used longest ago go to the disk. Where a file
is filled by a copy, its pages are there before. So a full file system is an error, and does not kill the process.
"""

import contextlib
import fcntl
import io
import itertools
import json
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from errno import ENOSPC
from typing import NamedTuple

from rhapsody_parsl.hosts import data_space
from rhapsody_parsl.hosts.data_draft import DataDraft
from rhapsody_parsl.hosts.data_pool import DataPool
from rhapsody_parsl.hosts.data_space import HUGE, DataSpace, mapped, write_at
from rhapsody_parsl.hosts.folder import write_private

__all__ = ("DataFiles", "Place")

_STATED = "data.json"
"""In the private folder of a host."""
_VALUES = "data"
"""Beside the folders of writers."""
_LOCK, _ASKING = ".lock", ".asking"
_CHUNK = 1 << 30
_numbers = itertools.count(1)


class Place(NamedTuple):
    """Where values lie on a host.

    Attributes:
        token: Of the executor.
        memory: A folder in shared memory; "" for none.
        disk: A folder on disk.
        writer: Name of the folder in each of these where what is not yet whole lies.
        budget: The most bytes in memory.
        where: The block that the driver has to ask for these values; "" where it sees them itself.
        role: `driver` where the driver's memory is this one. `pilot` where the pilot's is. `host` on another host of
            the block: of what is left here the pilot is to be told.
    """

    token: str
    memory: str
    disk: str
    writer: str
    budget: int
    where: str = ""
    role: str = "driver"

    def tell(self, folder: str) -> None:
        """Tell the processes of a host, by a file in its private folder."""
        write_private(os.path.join(folder, _STATED), json.dumps(self))

    @classmethod
    def told(cls, folder: str) -> "Place | None":
        """Return what was told; None where nothing was."""
        try:
            with open(os.path.join(folder, _STATED), "rb") as file:
                return cls(*json.load(file))
        except FileNotFoundError:
            return None


class DataFiles:
    """The values that lie in a place.

    Args:
        place: That.

    Raises:
        OSError: Its folders cannot be made.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._roots = [root for root in (place.memory, place.disk) if root]
        for root in self._roots:
            for name in (_VALUES, place.writer):
                os.makedirs(os.path.join(root, name), 0o700, exist_ok=True)
        self._pool = DataPool(place.memory, place.budget) if place.memory else None

    def write(self, key: str, pieces: Sequence[bytes | bytearray | memoryview], draft: str = "") -> int:
        """Write a value; it is there as a whole, or not at all.

        Args:
            key: The value's.
            pieces: Its file's content.
            draft: What the file's name begins with until it is whole.

        Returns:
            Its size in bytes.

        Raises:
            OSError: There is no room on the disk either.
        """
        size = sum(map(len, pieces))
        self.make_room(size)
        for root in self._roots_for(size):
            path = self._draft(root, draft)
            try:
                self._warm(root, path, size)
                _fill(path, pieces, size if root == self._place.memory else 0)
                os.rename(path, self._path(root, key))
            except OSError:
                with contextlib.suppress(OSError):
                    os.unlink(path)
                if root == self._place.disk:
                    raise
            else:
                break
        return size

    def space(self, size: int, draft: str) -> DataSpace:
        """Make a file in memory to be filled.

        Args:
            size: In bytes.
            draft: As for `write`.

        Raises:
            OSError: It has no room there.
        """
        if not self._place.memory or size > self._place.budget:
            raise OSError(ENOSPC, "there is no room in memory")
        self.make_room(size)
        path = self._draft(self._place.memory, draft)
        try:
            self._warm(self._place.memory, path, size)
            return DataSpace(path, size)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(path)
            raise

    def keep(self, path: str, key: str, before: bytes = b"") -> int:
        """Have a file that was filled be a value; return its size.

        Args:
            path: Of the file.
            key: The value's.
            before: What its first bytes are, where they are still to be written.

        Raises:
            OSError: It cannot be.
        """
        with open(path, "r+b", buffering=0) as file:
            file.write(before)
            size = os.fstat(file.fileno()).st_size
        os.rename(path, self._path(self._place.memory, key))
        return size

    def spare(self, size: int) -> DataSpace | None:
        """Have a file for the next value of about this size; a new one is made as long as both have room in memory.

        Raises:
            OSError: It cannot be mapped.
        """
        if self._pool is None:
            return None
        return self._pool.spare(size, new=self.in_memory() + self._pool.size + 2 * size <= self._place.budget)

    def use(self, spare: DataSpace, size: int, draft: str) -> bool:
        """Have a spare be a file to be filled, as `space`; return whether it is there still.

        Its bytes are counted already, so no room is made.
        """
        try:
            spare.become(self._draft(self._place.memory, draft), size)
        except OSError:
            self.give_up(spare)
            return False
        return True

    def give_up(self, space: DataSpace) -> None:
        """Remove a file that is not to be a value; idempotent."""
        with contextlib.suppress(OSError):
            os.unlink(space.path)

    def open(self, key: str) -> memoryview:
        """Return a value's file, to be read; the map goes with the last look at it.

        Raises:
            FileNotFoundError: It is not here.
        """
        with self.opened(key) as file:
            os.utime(file.fileno())
            return mapped(file.fileno(), os.fstat(file.fileno()).st_size)

    def opened(self, key: str) -> io.FileIO:
        """Return a value's file, which is used for no other value while it is open.

        Raises:
            FileNotFoundError: It is not here, or no key of a value.
        """
        if os.path.basename(key) != key:
            raise FileNotFoundError(key)
        for root in (*self._roots, *self._roots):  # it may be on its way to the disk
            with contextlib.suppress(FileNotFoundError):
                return data_space.opened(self._path(root, key))
        raise FileNotFoundError(key)

    def begin(self, key: str, size: int, *, in_memory: bool = True) -> DataDraft:
        """Begin to write a value whose pieces are still to come; `make_room` comes before.

        Args:
            key: The value's.
            size: Of its file, in bytes.
            in_memory: Whether it may lie in memory. In spite of the budget, others may take the room meanwhile.

        Raises:
            OSError: It cannot be on the disk either.
        """
        roots = self._roots_for(size) if in_memory else [self._place.disk]
        for root in roots[:-1]:
            with contextlib.suppress(OSError):
                path = self._draft(root)
                self._warm(root, path, size)
                return DataDraft(path, self._path(root, key), size)
        return DataDraft(self._draft(roots[-1]), self._path(roots[-1], key))

    def make_room(self, size: int) -> None:
        """Bring what was used longest ago to the disk, where a value is for memory; one process at a time does that.

        Args:
            size: Of the value's file.

        Raises:
            OSError: There is no such place.
        """
        if self._roots_for(size)[0] != self._place.memory:
            return
        with open(os.path.join(self._place.memory, _LOCK), "wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            known = []
            for entry in self._entries():
                with contextlib.suppress(FileNotFoundError):
                    found = entry.stat()
                    known.append((found.st_mtime_ns, found.st_size, entry.name))
            excess = size + sum(each for _, each, _ in known) - self._place.budget
            if self._pool:
                excess = self._pool.make_room(excess + self._pool.size)
            for _, each, key in sorted(known):
                if excess <= 0:
                    break
                excess -= each
                self._spill(key)

    @contextlib.contextmanager
    def alone(self, key: str) -> Iterator[None]:
        """Wait until no other process of the host, and no thread, is at this for a value; a killed one is not."""
        place = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, zlib.crc32(key.encode()), 1, 0)
        with open(os.path.join(self._roots[-1], _ASKING), "wb") as lock:
            fcntl.fcntl(lock, fcntl.F_OFD_SETLKW, place)  # of a byte of this open file, not of the process
            yield

    def has(self, key: str) -> bool:
        """Whether a value is here."""
        return any(os.path.exists(self._path(root, key)) for root in self._roots)

    def all(self) -> set[str]:
        """Return the keys of all values here."""
        names = (name for root in self._roots for name in os.listdir(os.path.join(root, _VALUES)))
        return {name for name in names if not name.startswith(".")}

    def drop(self, key: str) -> None:
        """Remove a value; idempotent. Who has mapped it keeps what it sees."""
        for root in self._roots:
            with contextlib.suppress(FileNotFoundError):
                if self._pool and root == self._place.memory:
                    self._pool.put(self._path(root, key))
                else:
                    os.unlink(self._path(root, key))

    def discard(self, keys: Sequence[str]) -> None:
        """Remove values, and what is not whole of them."""
        for root in self._roots:
            drafts = os.path.join(root, self._place.writer)
            for name in os.listdir(drafts):
                if name.partition(".")[0] in keys:
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(os.path.join(drafts, name))
        for key in keys:
            self.drop(key)

    def in_memory(self) -> int:
        """Return how many bytes lie in memory."""
        return sum(entry.stat().st_size for entry in self._entries())

    def _warm(self, root: str, path: str, size: int) -> None:
        """Have a file of a dropped value at a path, if there is one.

        Raises:
            OSError: There is no room for the rest of it.
        """
        if self._pool and root == self._place.memory:
            self._pool.take(path, size)

    def _draft(self, root: str, draft: str = "") -> str:
        """Return a path for what is not yet whole."""
        return os.path.join(root, self._place.writer, f"{draft or 0}.{os.getpid()}.{next(_numbers)}")

    def _path(self, root: str, key: str) -> str:
        return os.path.join(root, _VALUES, key)

    def _roots_for(self, size: int) -> list[str]:
        """Return where to write a value, the best first."""
        return self._roots if self._place.memory and size <= self._place.budget else [self._place.disk]

    def _entries(self) -> "Iterator[os.DirEntry[str]]":
        if self._place.memory:
            with os.scandir(os.path.join(self._place.memory, _VALUES)) as entries:
                yield from (entry for entry in entries if not entry.name.startswith("."))

    def _spill(self, key: str) -> None:
        source, target = (self._path(root, key) for root in self._roots)
        draft = self._draft(self._place.disk)
        try:
            _copy(source, draft)
            os.rename(draft, target)
        except FileNotFoundError:
            return
        except OSError:  # no room there either: it stays
            with contextlib.suppress(OSError):
                os.unlink(draft)
            return
        try:
            os.unlink(source)
        except FileNotFoundError:  # it was dropped meanwhile
            os.unlink(target)


def _copy(source: str, target: str) -> None:
    with open(source, "rb", buffering=0) as read, open(target, "xb", buffering=0) as written:
        while os.sendfile(written.fileno(), read.fileno(), None, _CHUNK):
            pass


def _fill(path: str, pieces: Sequence[bytes | bytearray | memoryview], size: int) -> None:
    """Fill a file; a size is that of a file in memory."""
    if size >= HUGE:
        try:
            space = DataSpace(path, size)
        except OSError:  # this process may be allowed to map no more
            pass
        else:
            space.fill(pieces)
            return
    descriptor, at = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), 0
    try:
        for piece in pieces:
            write_at(descriptor, at, piece)
            at += len(piece)
    finally:
        os.close(descriptor)
