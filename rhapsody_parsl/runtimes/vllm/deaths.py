"""Engines' deaths of late, and how many of them chance explains: no I/O; tasks are numbers."""

import math
from collections import deque
from collections.abc import Collection, Iterable

__all__ = ("OTHERS", "Chance", "Death", "Deaths")

OTHERS = -1
"""Among suspects: the requests that somebody else gave the engine."""


class Death:
    """An engine's end.

    Args:
        at: When.
        suspects: The requests that it held.
        seconds: How long it had held some.
        weight: What it proves of a request that was alone with it.

    Attributes:
        suspects: Those of which nothing is known yet.
        alone: Whether it held one request only.
        solved: Whether a request has been found to be the cause.
        excused: Whether it does not count against the engine.
        failure: How it came, for people.
        replica: Whose, by the name of that start.
        culprit: The number of the request of others that explains it, 0 for none.
    """

    __slots__ = (
        "alone", "at", "culprit", "excused", "failure", "replica", "seconds", "solved", "suspects", "weight",
    )  # fmt: skip

    def __init__(self, at: float, suspects: Iterable[int] = (), seconds: float = 0.0, weight: float = 1.0) -> None:
        self.at, self.suspects, self.seconds, self.weight = at, set(suspects), seconds, weight
        self.alone = len(self.suspects) == 1
        self.solved = self.excused = False
        self.failure: tuple[str, str] = ("", "")
        self.replica, self.culprit = "", 0

    @property
    def unexplained(self) -> bool:
        """Whether it had another cause than a request: all that the engine held were answered since."""
        return not self.suspects and not self.excused


class Deaths:
    """What is known of a service's engines: their deaths within a window of time, and how long they worked.

    Args:
        window: Seconds for which a death is remembered; work is forgotten as fast.
    """

    def __init__(self, window: float) -> None:
        self._window = window
        self._recent: deque[Death] = deque()
        self._work, self._at = 0.0, 0.0

    def worked(self, seconds: float, now: float) -> None:
        """An engine held requests for so long, and did not die."""
        self._work = self._work_at(now) + seconds
        self._at = now

    def died(self, death: Death) -> None:
        """One died."""
        self._recent.append(death)

    def chance(self, now: float, accused: Collection[int]) -> "Chance":
        """Return what is known of deaths that no request explains, neither one that was found nor one of `accused`."""
        deaths = [death for death in self.recent(now) if not death.solved and death.suspects.isdisjoint(accused)]
        return Chance(deaths, self._work_at(now))

    def recent(self, now: float) -> Collection[Death]:
        """Return those within the window."""
        while self._recent and self._recent[0].at <= now - self._window:
            self._recent.popleft()
        return self._recent

    def _work_at(self, now: float) -> float:
        return self._work * math.exp((self._at - now) / self._window)


class Chance:
    """How often engines die of other causes than a request.

    Args:
        deaths: These.
        work: Seconds that engines held requests and did not die.
    """

    def __init__(self, deaths: Collection[Death], work: float) -> None:
        self._deaths, self._work = deaths, work

    def expected(self, seconds: float, own: Collection[Death]) -> float:
        """Return how many die by chance in so many seconds of work: one more than did, for few tell little.

        Args:
            seconds: Of work.
            own: Deaths that chance is to explain, and that do not count.
        """
        others = [death for death in self._deaths if death not in own]
        work = self._work + sum(death.seconds for death in others)
        return (len(others) + 1) * seconds / max(work, seconds) if others else 0.0
