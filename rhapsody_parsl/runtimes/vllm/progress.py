"""Whether an engine that lives still works: no I/O; times are those of any one clock."""

__all__ = ("Progress",)


class Progress:
    """When an engine last made a step.

    Args:
        limit: Seconds without one, with requests in flight, after which it counts as dead.
        now: The time.
    """

    def __init__(self, limit: float, now: float) -> None:
        self.limit = limit
        self._at = now

    def step(self, now: float) -> None:
        """It made one."""
        self._at = now

    def stalled(self, busy: bool, now: float) -> bool:
        """Return whether it hangs; asked often, for an engine that has nothing to do makes no steps either.

        Args:
            busy: Whether requests are in flight.
            now: The time.
        """
        if not busy:
            self._at = now
        return now - self._at > self.limit
