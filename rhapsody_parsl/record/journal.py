"""The file of a run: pieces of entries, written by a thread of its own, and read whatever a crash has left of it."""

import logging
import queue
import struct
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from rhapsody_parsl.record.entries import Entry

__all__ = ("Journal", "entries")

log = logging.getLogger(__name__)

_HEAD = struct.Struct("<II")
"""Before each piece: its size and its checksum."""
_MOST_PENDING = 1_000_000
"""Tasks and leases that wait for a file system that does not answer; what comes then is dropped."""
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Entry])


class Journal:
    """Writes to a file; no caller ever waits for the disk, and none but a reader needs to.

    Its thread starts with the first piece. Where it cannot start, or the file not be written, the log says so
    once.

    Args:
        path: The file; it is made when it is first needed, and stays. None: nothing is written.
        sink: Gets each piece, too, on the journal's thread.
    """

    def __init__(self, path: Path | None, sink: Callable[[Sequence[Entry]], None] | None = None) -> None:
        self.path, self._sink = path, sink
        self._queue: queue.SimpleQueue[tuple[Sequence[Entry], int] | threading.Event | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._given = self._taken = self._size = 0
        self._complained = False

    def put(self, piece: Sequence[Entry], weight: int) -> None:
        """Write a piece some time soon.

        Args:
            piece: The entries.
            weight: How many tasks and leases are in them.
        """
        if self._given - self._taken > _MOST_PENDING:
            self._complain("its file system does not answer")
            return
        if self._thread is None and not self._start():
            return
        self._given += weight
        self._queue.put((piece, weight))

    def _start(self) -> bool:
        """Start the thread; where there can be none more, that piece is lost, and the next one tries again."""
        thread = threading.Thread(target=self._serve, name="rhapsody-record", daemon=True)
        try:
            thread.start()
        except RuntimeError as problem:
            self._complain(str(problem))
            return False
        self._thread = thread
        return True

    def settle(self, timeout: float) -> None:
        """Wait until all that was put is in the file, `timeout` seconds at most."""
        if self._thread is not None and self._thread.is_alive():
            settled = threading.Event()
            self._queue.put(settled)
            settled.wait(timeout)

    def close(self, timeout: float) -> None:
        """Write what is left, and end the thread; idempotent."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join(timeout)

    def _serve(self) -> None:
        while (item := self._queue.get()) is not None:
            if isinstance(item, threading.Event):
                item.set()
                continue
            piece, weight = item
            try:
                if self.path:
                    self._write(self.path, _encoder.encode(piece))
                if self._sink:
                    self._sink(piece)
            except Exception as problem:  # noqa: BLE001 - whatever it is, the run is not to suffer from its record
                self._complain(str(problem))
            self._taken += weight

    def _write(self, path: Path, data: bytes) -> None:
        with path.open("r+b" if self._size else "wb") as file:
            file.truncate(self._size)  # what a write that failed has left
            file.seek(self._size)
            file.write(_HEAD.pack(len(data), zlib.crc32(data)) + data)
        self._size += _HEAD.size + len(data)

    def _complain(self, problem: str) -> None:
        if not self._complained:
            log.warning(
                "the record of the run has gaps: %s cannot be written (%s)", self.path or "what is told", problem
            )
        self._complained = True


def entries(path: Path) -> Iterator[Entry]:
    """Yield what a file holds, in order; a last piece that was not written whole is left out.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        while len(head := file.read(_HEAD.size)) == _HEAD.size:
            size, checksum = _HEAD.unpack(head)
            data = file.read(size)
            if len(data) < size or zlib.crc32(data) != checksum:
                return
            yield from _decoder.decode(data)
