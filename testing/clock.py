"""Simulated time."""

import heapq
import itertools
from collections.abc import Callable

__all__ = ("Clock",)


class Clock:
    """What is to happen, in order; two things at one time happen in the order in which they were planned.

    Attributes:
        now: Simulated seconds.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self._plans: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def at(self, when: float, action: Callable[[], None]) -> None:
        """Plan something; what is late happens next."""
        heapq.heappush(self._plans, (max(when, self.now), next(self._order), action))

    def step(self, due: float | None, tick: Callable[[], None], until: float = float("inf")) -> bool:
        """Do the next thing: what was planned, or `tick` when that is due before; False when nothing is left."""
        planned = self._plans[0][0] if self._plans else float("inf")
        when = min(planned, float("inf") if due is None else due)
        if when > until or when == float("inf"):
            return False
        self.now = max(self.now, when)
        if planned <= when:
            heapq.heappop(self._plans)[2]()
        else:
            tick()
        return True
