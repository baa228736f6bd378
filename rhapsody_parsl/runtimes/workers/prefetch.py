"""How many short tasks a worker is given before it has finished those it has: one rule for all who feed workers."""

__all__ = ("Prefetch",)

_WORK = 0.010
"""Seconds of work that hide the way to a worker."""
_LONG = 0.020
_MOST = 64


class Prefetch:
    """What is learnt from the durations of tasks that are alike.

    Args:
        least: How many tasks a worker is to hold that are not long.

    Attributes:
        seconds: Running mean of the time inside the user's code; None until the first result.
        count: How many tasks a worker is to hold: enough short ones, one long one.
    """

    __slots__ = ("_least", "count", "seconds")

    def __init__(self, least: int) -> None:
        self._least = least
        self.seconds: float | None = None
        self.count = 1

    def learn(self, seconds: float) -> None:
        """Take the duration of one task into the mean; a long one counts at once."""
        if self.seconds is None or seconds > _LONG:
            self.seconds = seconds
        else:
            self.seconds += 0.1 * (seconds - self.seconds)
        if self.seconds > _LONG:
            self.count = 1
        else:
            self.count = max(self._least, min(_MOST, int(_WORK / max(self.seconds, 1e-6))))
