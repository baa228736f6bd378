"""How long tasks that are alike took: what backfill goes by."""

__all__ = ("Took",)

_WEIGHT, _FADING = 0.1, 0.02


class Took:
    """What is learnt from the durations of tasks.

    Attributes:
        mean: Running mean in seconds; None until one has ended.
        longest: The longest of late; one that was longer long ago counts less and less.
    """

    __slots__ = ("longest", "mean")

    def __init__(self) -> None:
        self.mean: float | None = None
        self.longest: float | None = None

    def learn(self, seconds: float) -> None:
        """A task has ended, and took so long."""
        if self.mean is None or self.longest is None:
            self.mean = self.longest = seconds
        else:
            self.mean += _WEIGHT * (seconds - self.mean)
            self.longest = max(seconds, self.longest - _FADING * (self.longest - seconds))
