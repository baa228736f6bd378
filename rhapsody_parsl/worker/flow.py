"""How far the producer of a stream may be ahead of its reader."""

import threading
from collections.abc import Callable

from rhapsody_parsl.wire.piece_messages import AHEAD, AHEAD_BYTES, More

__all__ = ("Flow",)

_FEW = 2


class Flow:
    """Counts what one try of a task has sent and what its reader has taken. The reader's word may come on any thread.

    Attributes:
        sent: Pieces sent.
        bytes: Their bytes.
        stopped: Whether the reader wants no more.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wake: Callable[[], object] | None = None
        self.sent = self.bytes = self._taken = self._taken_bytes = 0
        self.stopped = False

    def count(self, size: int) -> int:
        """A piece is sent; return its number.

        Args:
            size: Its bytes.
        """
        with self._lock:
            self.sent += 1
            self.bytes += size
            return self.sent - 1

    def more(self, message: More) -> None:
        """The reader has taken some; what it says of an earlier try counts for no more than what this one has sent."""
        with self._lock:
            self._taken = max(self._taken, min(message.taken, self.sent))
            self._taken_bytes = max(self._taken_bytes, min(message.size, self.bytes))
            self.stopped = self.stopped or message.stop
            wake, self._wake = self._wake, None
        if wake:
            wake()

    @property
    def is_full(self) -> bool:
        """Whether the producer is to wait."""
        ahead = self.sent - self._taken
        full = ahead >= AHEAD or (ahead >= _FEW and self.bytes - self._taken_bytes >= AHEAD_BYTES)
        return full and not self.stopped

    def on_word(self, wake: Callable[[], object]) -> bool:
        """Have this called with the reader's next word if the producer is to wait now; return whether it is."""
        with self._lock:
            if full := self.is_full:
                self._wake = wake
            return full

    def agree(self, go: bool) -> bool:
        """Return whether there is another step, when this process alone would go on or not: a gang's ranks agree."""
        return go

    def over(self) -> None:
        """The generator has ended, and did not fail."""

    def wait(self) -> bool:
        """Wait for room, on a thread that may; return whether more pieces are wanted."""
        word = threading.Event()
        while self.on_word(word.set):
            word.wait()
            word.clear()
        return not self.stopped
