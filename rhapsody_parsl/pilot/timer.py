"""When the core wants to be told that time has passed."""

import asyncio
from collections.abc import Callable

__all__ = ("Timer",)


class Timer:
    """One call of the loop's, kept up with what is wanted.

    Args:
        tick: Called then.
    """

    def __init__(self, tick: Callable[[], None]) -> None:
        self._tick = tick
        self._call: asyncio.TimerHandle | None = None

    def arm(self, seconds: float | None) -> None:
        """Have a call after so long, or before: most of what is waited for is over by then. None wants no call."""
        if seconds is None:
            return
        loop = asyncio.get_running_loop()
        if self._call is not None:
            if self._call.when() <= loop.time() + seconds:
                return
            self._call.cancel()
        self._call = loop.call_later(seconds, self._go_off)

    def _go_off(self) -> None:
        self._call = None
        self._tick()
