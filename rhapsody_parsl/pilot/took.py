"""How long tasks that are alike took: what backfill goes by."""

import math

__all__ = ("FADING", "Took")

_WEIGHT, FADING = 0.1, 0.02
"""What the last one counts in a mean, and by how much of the difference the most of all falls towards it."""


class _Learnt:
    """What is learnt from numbers.

    Args:
        counted: What is counted with before there is a number.

    Attributes:
        mean: Running mean; None until there was one.
        most: The largest of late; one that was larger long ago counts less and less.
    """

    __slots__ = ("_counted", "mean", "most")

    def __init__(self, counted: float) -> None:
        self.mean: float | None = None
        self.most = 0.0
        self._counted = counted

    def learn(self, number: float) -> None:
        if self.mean is None:
            self.mean = self.most = number
        else:
            self.mean += _WEIGHT * (number - self.mean)
            self.most = max(number, self.most - FADING * (self.most - number))

    def halved(self) -> bool:
        halved = self.most < self._counted / 2
        if halved or self.most > self._counted:
            self._counted = self.most
        return halved


class Took:
    """What is learnt from the durations of tasks, and from what part of their walltimes they took.

    Where walltimes differ, the part says more: who asks for twice the time takes twice as long, more often than not.
    """

    __slots__ = ("_part", "_seconds")

    def __init__(self) -> None:
        self._seconds, self._part = _Learnt(0.0), _Learnt(1.0)

    @property
    def known(self) -> bool:
        """Whether a task has ended."""
        return self._seconds.mean is not None

    def learn(self, seconds: float, walltime: float = 0.0) -> bool:
        """A task has ended, and took so long; return whether its like are expected to take half of what they were.

        Args:
            seconds: That it took.
            walltime: Its walltime in seconds; 0 for none.
        """
        self._seconds.learn(seconds)
        if walltime:
            self._part.learn(min(1.0, seconds / walltime))
        return (self._seconds if self._part.mean is None else self._part).halved()

    def expected(self, walltime: float, late: bool) -> float:
        """Return how many seconds a task will take; infinity where nobody knows.

        Args:
            walltime: Its walltime in seconds; 0 for none.
            late: Whether the longest is asked for, and not the mean.
        """
        learnt = self._part if walltime and self._part.mean is not None else self._seconds
        unit = walltime if learnt is self._part else 1.0
        known = math.inf if learnt.mean is None else unit * (learnt.most if late else learnt.mean)
        return min(walltime or math.inf, known)

    @property
    def scale(self) -> float:
        """What is expected of tasks with a walltime is in proportion to this; negative while that is no part of it."""
        return -self._seconds.most if self._part.mean is None else self._part.most
