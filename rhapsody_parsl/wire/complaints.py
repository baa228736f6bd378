"""Log lines about what others do, who may do it any number of times: a few in a while, then how many more it was."""

import logging
import time
from collections.abc import Callable

__all__ = ("Complaints",)


class Complaints:
    """Warnings at a bounded rate.

    Args:
        log: Where they are written.
        most: How many are written within a period.
        period: Seconds.
        clock: Tells the time in seconds.
    """

    def __init__(
        self, log: logging.Logger, most: int = 5, period: float = 60.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._log, self._most, self._period, self._clock = log, most, period, clock
        self._since = clock()
        self._count = 0

    def note(self, message: str, *facts: object) -> None:
        """Write a warning, or only count it."""
        now = self._clock()
        if now - self._since >= self._period:
            if self._count > self._most:
                self._log.warning("%d more warnings of this kind were not written", self._count - self._most)
            self._since, self._count = now, 0
        self._count += 1
        if self._count <= self._most:
            self._log.warning(message, *facts)
