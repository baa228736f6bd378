"""Runs of short tasks that keep their lease for a moment: the next task finds all as the last one left it."""

from collections import OrderedDict
from collections.abc import Sequence
from itertools import takewhile

from rhapsody_parsl.pilot.lane import ActiveRun, Lane

__all__ = ("IdleLeases",)

_KEEP = 0.02
"""Seconds a run keeps its lease after its last task, if nobody waits."""


class IdleLeases:
    """Runs with a lease and no task, all of one lane, the oldest first."""

    def __init__(self) -> None:
        self._runs: OrderedDict[int, ActiveRun] = OrderedDict()

    def __len__(self) -> int:
        return len(self._runs)

    def add(self, active: ActiveRun, now: float) -> None:
        """Keep a run from now; there must be none of another lane."""
        active.fed_at = now
        self._runs[active.run.id] = active

    def discard(self, active: ActiveRun) -> None:
        """Keep it no longer, if it was."""
        self._runs.pop(active.run.id, None)

    def take_newest(self) -> ActiveRun | None:
        """Take the one kept last."""
        return self._runs.popitem()[1] if self._runs else None

    def but_of(self, lane: Lane | None) -> Sequence[ActiveRun]:
        """Return all of them, if they are not of this lane."""
        for oldest in self._runs.values():
            return () if oldest.lane is lane else list(self._runs.values())
        return ()

    def expired(self, now: float) -> Sequence[ActiveRun]:
        """Return those whose time is up."""
        return list(takewhile(lambda active: now - active.fed_at > _KEEP - 1e-6, self._runs.values()))

    def next_expiry(self, now: float) -> list[float]:
        """Return in how many seconds the oldest's time is up, if there is one."""
        for oldest in self._runs.values():
            return [oldest.fed_at + _KEEP - now]
        return []
