"""A file for the next value, its pages made and mapped while the process waits for work: the value then costs a copy.

A task that leaves a large value is often followed by one that leaves another. The pages are made piece by piece. Who
comes before the last of them has those that are there.
"""

import contextlib
import os
import threading
from collections import deque
from collections.abc import Sequence

from rhapsody_parsl.data.layout import Buffer
from rhapsody_parsl.hosts.data_files import DataFiles
from rhapsody_parsl.hosts.data_pool import LEAST
from rhapsody_parsl.hosts.data_space import DataSpace
from rhapsody_parsl.worker import afterwards, memory

__all__ = ("drawn", "let_go", "make", "written")

_KEPT_FOR = 10.0
"""Seconds without a large value, after which the file is anybody's again."""
_ready: deque[DataSpace] = deque(maxlen=1)
"""The spare of this process: who pops it has it."""


class _Maker(threading.Thread):
    """Makes a spare, and keeps it for some time.

    Args:
        files: The values of this host.
        size: In bytes.

    Attributes:
        size: See above.
        done: Set when there is a file, whole or not, or none.
        wake: Set when somebody waits for it, or it need not be kept any more.
    """

    def __init__(self, files: DataFiles, size: int) -> None:
        super().__init__(name="spare", daemon=True)
        self._files, self.size = files, size
        self.done, self.wake = threading.Event(), threading.Event()

    def run(self) -> None:
        """Do that."""
        try:
            with contextlib.suppress(OSError):  # the next value has its pages made then, and says what is wrong
                self._make()
        finally:
            self.done.set()
        if _ready and not self.wake.wait(_KEPT_FOR):
            _ready.clear()

    def _make(self) -> None:
        spare = self._files.spare(self.size)
        if spare is None:
            return
        try:
            while not self.wake.is_set() and spare.more():
                pass
        except OSError:
            self._files.give_up(spare)
            raise
        if _Making.maker is self:  # else another one is made by now, and nobody would let this one go
            _ready.append(spare)


class _Making:
    """What is known of spares in this process.

    Attributes:
        maker: Has made the last one, or is at it.
    """

    maker: _Maker | None = None


def make(files: DataFiles, size: int) -> None:
    """Have a file of about this size there some time later, where there is room.

    Args:
        files: The values of this host.
        size: In bytes.
    """
    if any(spare.fits(size) for spare in tuple(_ready)):
        return
    if _Making.maker:
        _Making.maker.wake.set()
    _Making.maker = _Maker(files, size)
    try:
        _Making.maker.start()
    except RuntimeError:  # a process limit may forbid a thread
        _Making.maker = None
        _ready.clear()


def drawn(files: DataFiles, size: int, draft: str) -> DataSpace | None:
    """Return a file to be filled, if there is a spare.

    Args:
        files: See `make`.
        size: In bytes.
        draft: What the file's name begins with until it is whole.
    """
    maker = _Making.maker
    if maker is None or size < LEAST:
        return None
    if size <= 2 * maker.size and maker.size <= 2 * size:
        maker.wake.set()
        maker.done.wait()  # for a millisecond or two
    try:
        spare = _ready.pop()
    except IndexError:
        return None
    if not spare.fits(size):
        _ready.append(spare)
        return None
    return spare if files.use(spare, size, draft) else None


def written(files: DataFiles, key: str, pieces: Sequence[Buffer], draft: str) -> int:
    """Write a value, into the spare where there is one; return its size.

    Raises:
        OSError: There is no room.
    """
    if space := drawn(files, sum(map(len, pieces)), draft):
        afterwards.hold(space.memory)
        try:
            space.fill(pieces)
            return files.keep(space.path, key)
        except OSError:
            files.give_up(space)
    return files.write(key, pieces, draft)


def let_go() -> None:
    """Have none now: the memory of this process is limited, and what it maps counts."""
    if _Making.maker:
        _Making.maker.wake.set()
        _Making.maker.join()
        _Making.maker = None
    _ready.clear()


def _in_child() -> None:
    """Have none in a forked child: it is its parent's, and locked as long as anybody has it."""
    _ready.clear()
    _Making.maker = None


memory.limited.append(let_go)
os.register_at_fork(after_in_child=_in_child)
