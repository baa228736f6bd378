"""What a node agent tells of how much its host works."""

import asyncio
from collections.abc import Callable

from rhapsody_parsl.agents.words import Uses
from rhapsody_parsl.hosts.probe import HostFacts
from rhapsody_parsl.hosts.use import HostUse, HostWatch

__all__ = ("Gauge",)


class Gauge:
    """Looks from time to time, and speaks when something has changed.

    Args:
        facts: What the host offers.
        period: Seconds between two looks.
        say: Takes what is to be told.
    """

    def __init__(self, facts: HostFacts, period: float, say: Callable[[Uses], None]) -> None:
        self._facts, self._period, self._say = facts, period, say
        self._watch = HostWatch(facts.vendor, facts.gpus, period)
        self._told = HostUse()
        self._timer = asyncio.get_running_loop().call_later(period, self._look)

    def _look(self) -> None:
        self._watch.look()
        use = self._watch.use(self._facts.cores, self._facts.gpus)
        if use != self._told:
            self._told = use
            self._say(Uses(use))
        self._timer = asyncio.get_running_loop().call_later(self._period, self._look)

    def close(self) -> None:
        """Look no more; idempotent."""
        self._timer.cancel()
        self._watch.close()
