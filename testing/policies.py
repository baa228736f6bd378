"""Orders of a user's own, good ones and bad ones, in a module that a block can import."""

import sys
from fractions import Fraction

from rhapsody_parsl.scheduling.protocol import Queue, WaitingTask


class Shortest:
    """What takes little of the block starts first."""

    backfill = False

    def claim(self, task: WaitingTask, arrival: float, queue: Queue) -> float:
        return arrival + min(600.0, task.seconds * task.cores)


class Faulty(Shortest):
    """Fails for some apps."""

    def claim(self, task: WaitingTask, arrival: float, queue: Queue) -> float:
        return arrival / 0 if task.app == "bad" else arrival


class Endless(Shortest):
    def claim(self, task: WaitingTask, arrival: float, queue: Queue) -> float:
        return float("nan")


class Open(Shortest):
    """Holds what no other process can have."""

    def __init__(self) -> None:
        self.held = (number for number in range(3))


class Wide(Shortest):
    """Its claims are no floats, too large for one for some apps, and none for others."""

    def claim(self, task: WaitingTask, arrival: float, queue: Queue) -> float:
        if task.app == "exits":
            sys.exit(3)
        return 10**400 if task.app == "bad" else Fraction(arrival)  # type: ignore[return-value]  # so it is


class Silent(Shortest):
    """Its `return` was forgotten."""

    def claim(self, task: WaitingTask, arrival: float, queue: Queue) -> float:  # type: ignore[empty-body]  # so it is
        """Nothing comes of it."""


class Undecided(Shortest):
    @property
    def backfill(self) -> bool:  # type: ignore[override]  # an attribute is asked for
        raise LookupError
