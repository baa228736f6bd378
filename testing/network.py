"""A network that loses, repeats, keeps back and cuts, on a simulated clock."""

import random
from collections.abc import Callable

from testing.clock import Clock

__all__ = ("Way",)


class Way:
    """One direction between a pilot and the driver.

    Attributes:
        closed_until: Nothing that is sent before that time arrives.
    """

    def __init__(self, clock: Clock, dice: random.Random, faults: float, arrive: Callable[[list[bytes]], None]) -> None:
        self._clock, self._dice, self._faults, self._arrive = clock, dice, faults, arrive
        self._last = 0.0
        self.closed_until = 0.0

    def send(self, frames: list[bytes]) -> None:
        """Lose, keep back, repeat or deliver it; without a fault in order."""
        if self._clock.now < self.closed_until:
            return
        when = self._last = max(self._last, self._clock.now + 0.001)
        for _ in range(2 if self._dice.random() < self._faults else 1):
            if self._dice.random() < self._faults:
                continue
            late = self._dice.random() < self._faults
            self._clock.at(when + (self._dice.random() if late else 0.0), lambda: self._deliver(frames))

    def _deliver(self, frames: list[bytes]) -> None:
        if self._clock.now >= self.closed_until:
            self._arrive(frames)
