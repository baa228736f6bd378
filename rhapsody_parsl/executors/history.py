"""The record of ended leases: the newest in memory, all others in a file of the run directory."""

import logging
import struct
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from rhapsody_parsl.wire.leases import LeaseRecord

__all__ = ("History",)

log = logging.getLogger(__name__)

_IN_MEMORY = 4096
"""Records, some hundred bytes each; as many leave for the file at once."""
_SIZE = struct.Struct("<I")

Entry = tuple[str, LeaseRecord]
"""Block and lease."""
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Entry])


class History:
    """Ended leases of all blocks, the oldest first; any thread may add and iterate.

    The file is a sequence of chunks: four bytes for the size, then msgpack. Where it cannot be written, the oldest
    records are lost, and the log says so once.

    Args:
        path: The file; made when it is first needed, and left for whoever asks after the run. None: there is none.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._newest: list[Entry] = []
        self._written = 0
        self._complained = False

    def __iter__(self) -> Iterator[Entry]:
        """Iterate over all that is there now."""
        with self._lock:
            newest, written = list(self._newest), self._written
        yield from self._read(written)
        yield from newest

    def add(self, block: str, leases: Iterable[LeaseRecord]) -> None:
        """Leases of a block ended."""
        with self._lock:
            self._newest += [(block, lease) for lease in leases]
            if len(self._newest) >= 2 * _IN_MEMORY:
                self._write(self._newest[:-_IN_MEMORY])
                del self._newest[:-_IN_MEMORY]

    def _write(self, entries: list[Entry]) -> None:
        if self._path is None:
            return
        chunk = _encoder.encode(entries)
        try:
            with self._path.open("r+b" if self._written else "wb") as file:
                file.truncate(self._written)  # what a write that failed has left
                file.seek(self._written)
                file.write(_SIZE.pack(len(chunk)) + chunk)
        except OSError as problem:
            if not self._complained:
                log.warning("timeline() loses its oldest records: %s cannot be written (%s)", self._path, problem)
            self._complained = True
        else:
            self._written += _SIZE.size + len(chunk)

    def _read(self, written: int) -> Iterator[Entry]:
        if not written or self._path is None:
            return
        with self._path.open("rb") as file:
            while file.tell() < written:
                (size,) = _SIZE.unpack(file.read(_SIZE.size))
                yield from _decoder.decode(file.read(size))
