"""Starts of processes at a pace: a host with hundreds that start at once has no time for anything else.

Standard library only: a node agent uses it too.
"""

import asyncio
import os
from collections.abc import Callable
from functools import partial

__all__ = ("Pace",)

_LONGEST = 30.0
"""Seconds after which a start gives its place to the next one, whatever it waits for."""
_LEAST = 2


class Pace:
    """Lets so many processes start at once, on an event loop; the others wait in order.

    Args:
        places: How many; default one for each core of ours.
    """

    def __init__(self, places: int | None = None) -> None:
        self._places = places or max(_LEAST, len(os.sched_getaffinity(0)))
        self._waiting: dict[str, Callable[[], None]] = {}
        self._starting: dict[str, asyncio.TimerHandle] = {}

    def start(self, name: str, start: Callable[[], None]) -> None:
        """Call `start` now, or when there is a place; it calls nothing here."""
        self._waiting[name] = start
        self._fill()

    def waits(self, name: str) -> bool:
        """Whether a process has not been started yet."""
        return name in self._waiting

    def over(self, name: str) -> None:
        """A process is up or gone, or is wanted no more: the next one has its place."""
        self._waiting.pop(name, None)
        if timer := self._starting.pop(name, None):
            timer.cancel()
            self._fill()

    def close(self) -> None:
        """Start none any more."""
        self._waiting.clear()
        for timer in self._starting.values():
            timer.cancel()
        self._starting.clear()

    def _fill(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting and len(self._starting) < self._places:
            name = next(iter(self._waiting))
            start = self._waiting.pop(name)
            self._starting[name] = loop.call_later(_LONGEST, partial(self.over, name))
            start()
