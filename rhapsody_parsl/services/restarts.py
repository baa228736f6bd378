"""Whether and when what died is started again: no I/O; times are those of any one clock."""

import math
from dataclasses import dataclass
from typing import Protocol

__all__ = ("Death", "Restarts", "Unexplained")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0


class Death(Protocol):
    """The end of a replica's processes, as far as it matters here."""

    @property
    def at(self) -> float:
        """When."""

    @property
    def unexplained(self) -> bool:
        """Whether it counts against the replica: no request, for one, is to blame."""


@dataclass(frozen=True)
class Unexplained:
    """A death that counts."""

    at: float
    unexplained: bool = True


class Restarts:
    """The restarts of one replica: so many within a window of time, and none counts any more once it has answered.

    Deaths that a request is to blame for do not count either, nor do those of which that is not known yet.

    Args:
        most: How often it is started again within the window; 0 is never.
        window: Seconds for which a death counts.
    """

    def __init__(self, most: int, window: float) -> None:
        self.most, self.window = most, window
        self._deaths: list[Death] = []

    def died(self, death: Death) -> None:
        """It died."""
        self._deaths.append(death)

    def answered(self) -> None:
        """It answered a request, so it works."""
        if self._deaths:
            self._deaths.clear()

    def counted(self, now: float) -> int:
        """Return how many of its deaths count."""
        self._deaths = [death for death in self._deaths if death.at > now - self.window]
        return sum(death.unexplained for death in self._deaths)

    def wait(self, now: float) -> float:
        """Return the seconds until it may be started again, infinity for never."""
        if not self.most:
            return math.inf
        if (over := self.counted(now) - self.most) <= 0:
            return 0.0
        counted = [death.at for death in self._deaths if death.unexplained]
        return counted[over - 1] + self.window - now

    def pause(self, now: float) -> float:
        """Return the seconds to wait before a start that is allowed: longer with each death that counts."""
        return float(min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** max(0, self.counted(now) - 1)))
