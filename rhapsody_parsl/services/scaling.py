"""How many replicas the requests of a service need: no I/O; times are those of any one clock."""

from rhapsody_parsl.service_config import ServiceConfig

__all__ = ("Scaling", "scaling_of")


class Scaling:
    """Grows at once, and shrinks to what was needed at most within the last seconds.

    Args:
        least: Replicas that are there without requests.
        most: Replicas at most.
        target: Requests per replica.
        idle: Seconds in which fewer were enough until some leave.
    """

    def __init__(self, least: int, most: int, target: int, idle: float) -> None:
        self.least, self.most = least, most
        self._target, self._idle = target, idle
        self._since: float | None = None
        self._peak = 0

    def wanted(self, replicas: int, pending: int, now: float) -> int:
        """Return how many replicas there are to be; asked again and again.

        Args:
            replicas: How many there are to be by now.
            pending: Requests that have not ended.
            now: The time.
        """
        needs = min(self.most, max(self.least, -(-pending // self._target)))
        if needs >= replicas:
            self._since = None
            return needs
        if self._since is None:
            self._since, self._peak = now, needs
        self._peak = max(self._peak, needs)
        if now - self._since < self._idle:
            return replicas
        self._since = None
        return self._peak


def scaling_of(config: ServiceConfig, replicas: int | tuple[int, int]) -> Scaling:
    """Return the scaling of a service that is to have so many replicas, or between so many."""
    least, most = (replicas, replicas) if isinstance(replicas, int) else replicas
    return Scaling(least, most, *config.scaling)
