"""A file for the next value, made and mapped while the process waits for work: what the value then costs is a copy.

A task that leaves a large value is often followed by one that leaves another. To make the pages takes the kernel three
times as long as to fill them, and to fill them by writing to the file three times as long as to copy. To map them takes
the kernel as long as to make them, so it is done where the last pause was long enough for both.
"""

import contextlib
import mmap
import os
import threading
import time
from collections import deque
from collections.abc import Sequence

from rhapsody_parsl.data.layout import Buffer
from rhapsody_parsl.hosts.data_files import DataFiles
from rhapsody_parsl.hosts.data_pool import LEAST
from rhapsody_parsl.hosts.data_spare import DataSpare
from rhapsody_parsl.worker import afterwards, memory

__all__ = ("drawn", "filled", "let_go", "make")

_KEPT_FOR = 10.0
"""Seconds without a large value, after which the file is anybody's again."""
_MAPPED = 4e9
"""Bytes whose pages are mapped in a second, at best."""
_ready: deque[DataSpare] = deque(maxlen=1)
"""The spare of this process: who pops it has it."""


class _Maker(threading.Thread):
    """Makes a spare, and keeps it for some time.

    Args:
        files: The values of this host.
        size: In bytes.
        pause: Seconds that there are for it, as it seems.

    Attributes:
        size: See above.
        done: Set when there is a file, mapped or not, or none.
        wake: Set when somebody waits for it, or it need not be kept any more.
    """

    def __init__(self, files: DataFiles, size: int, pause: float) -> None:
        super().__init__(name="spare", daemon=True)
        self._files, self.size, self._pause = files, size, pause
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
        began = time.monotonic()
        self._files.prepare(self.size)
        took = time.monotonic() - began
        has_time = took + max(took, self.size / _MAPPED) <= self._pause and not self.wake.is_set()
        if _Making.maps and has_time and (spare := self._files.spare(self.size)):
            _ready.append(spare)


class _Making:
    """What is known of spares in this process.

    Attributes:
        maps: Whether one is mapped at all.
        maker: Has made the last one, or is at it.
        began: When that began.
        pause: Seconds from there to the next large value, the last time.
    """

    maps = True
    maker: _Maker | None = None
    began = 0.0
    pause = float("inf")


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
    maker = _Maker(files, size, _Making.pause)
    with contextlib.suppress(RuntimeError):  # a process limit may forbid a thread
        maker.start()
        _Making.maker, _Making.began = maker, time.monotonic()


def drawn(files: DataFiles, size: int, draft: str) -> tuple[str, mmap.mmap] | None:
    """Return path and memory of a file to be filled, if there is a spare.

    Args:
        files: See `make`.
        size: In bytes.
        draft: What the file's name begins with until it is whole.
    """
    maker = _Making.maker
    if maker is None or size < LEAST:
        return None
    _Making.pause = time.monotonic() - _Making.began
    if size <= 2 * maker.size and maker.size <= 2 * size:
        maker.wake.set()
        maker.done.wait()  # it is at the same work, on the same core
    try:
        spare = _ready.pop()
    except IndexError:
        return None
    if not spare.fits(size):
        _ready.append(spare)
        return None
    path = files.use(spare, size, draft)
    return (path, spare.memory) if path else None


def filled(files: DataFiles, key: str, pieces: Sequence[Buffer], draft: str) -> int:
    """Write a value into the spare; return its size, 0 where there is none.

    Raises:
        OSError: It cannot be kept.
    """
    size, at = sum(map(len, pieces)), 0
    found = drawn(files, size, draft)
    if found is None:
        return 0
    path, space = found
    afterwards.hold(space)
    for piece in pieces:
        space[at : at + len(piece)] = piece
        at += len(piece)
    return files.keep(path, key)


def let_go() -> None:
    """Map none any more: the memory of this process is limited, and what it maps counts."""
    _Making.maps = False
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
