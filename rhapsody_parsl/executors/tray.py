"""The pieces of one task that have come and that nobody has taken yet, where they are read."""

import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from rhapsody_parsl.wire.piece_messages import AHEAD, AHEAD_BYTES, More, Piece

__all__ = ("Streamed", "Tray")

log = logging.getLogger(__name__)

_UNREAD = "nobody reads the pieces of task %d: after %d a generator waits. Read them with rhapsody_parsl.stream(future)"

_EXITS = "a future's callback called sys.exit(), which was not heeded; other callbacks of this future may not have run"


class Tray:
    """Holds pieces between the link's thread, which puts, and a reader, which takes.

    Args:
        task: The task's number.
        say: Tells the producer how much was taken.

    Attributes:
        came: Pieces that have come in this try of the task.
        lost: Pieces of an earlier try that a reader had taken, when the task began again; 0 while it did not.
        read: Whether somebody reads.
    """

    def __init__(self, task: int, say: Callable[[More], None]) -> None:
        self._task, self._say = task, say
        self._lock = threading.Lock()
        self._pieces: deque[bytes] = deque()
        self._wake: Callable[[], None] | None = None
        self.came = self.lost = 0
        self._taken = self._size = self._said = self._said_size = 0
        self.read = self._closed = False

    def __len__(self) -> int:
        return len(self._pieces)

    def put(self, piece: Piece) -> None:
        """A piece came; one with the number 0 is the first of a try."""
        with self._lock:
            if piece.number == 0 and self.came:
                self._begin_again()
            self.came += 1
            if not self._closed:
                self._pieces.append(piece.payload)  # type: ignore[arg-type]  # no number once decoded
        if self._closed and self.came == 1:
            self._say(More(self._task, 0, 0, stop=True))
        if self.came == AHEAD and not self.read and not self._closed:
            log.warning(_UNREAD, self._task, AHEAD)
        if wake := self._wake:
            wake()

    def _begin_again(self) -> None:
        """What nobody has taken of the try before is not missed; what somebody has is told."""
        self._pieces.clear()
        self.lost = self.lost or self._taken
        self.came = self._taken = self._size = self._said = self._said_size = 0

    def take(self) -> bytes | None:
        """Return the next piece; None while there is none, and once some were lost, until it is released."""
        with self._lock:
            if self.lost or not self._pieces:
                return None
            payload = self._pieces.popleft()
            self._taken += 1
            self._size += len(payload)
            more = self._due()
        if more:
            self._say(more)
        return payload

    def _due(self) -> More | None:
        if self._taken - self._said < AHEAD // 2 and self._size - self._said_size < AHEAD_BYTES // 2:
            return None
        self._said, self._said_size = self._taken, self._size
        return More(self._task, self._taken, self._size)

    def close(self) -> None:
        """Nobody wants more: the producer is told now, or with its first piece."""
        with self._lock:
            self._closed = True
            self._pieces.clear()
        if self.came:
            self._say(More(self._task, self._taken, self._size, stop=True))

    def attach(self, wake: Callable[[], None]) -> None:
        """Somebody reads, and is called with whatever comes."""
        self._wake, self.read = wake, True

    def release(self) -> None:
        """Nobody reads any more; the next reader has what is there."""
        self._wake, self.read, self.lost = None, False, 0


class Streamed(Future[Any]):
    """The future of a task that may give pieces. A callback of it that calls sys.exit() ends no thread of ours.

    Attributes:
        streams: Whether it is known to give some.
    """

    streams: bool

    @property
    def tray(self) -> Tray:
        """Where they lie; made when one comes, or somebody wants to read."""
        known: Tray | None = self.__dict__.get("_tray")
        return known or self.__dict__.setdefault("_tray", self._new_tray())

    def set_result(self, result: Any) -> None:
        """Take the result, and tell those who wait, on the thread that answers all futures."""
        try:
            super().set_result(result)
        except SystemExit:
            log.exception(_EXITS)

    def set_exception(self, exception: BaseException | None) -> None:
        """Take the exception, in the same way."""
        try:
            super().set_exception(exception)
        except SystemExit:
            log.exception(_EXITS)

    def _new_tray(self) -> Tray:
        raise NotImplementedError
