"""How many replicas the requests of a service need, and which it can spare: no I/O; times are those of any one clock.

What a replica that is spared held is lent to tasks. The service has a claim to it as long as the replica would have
stayed without them: when requests need it again, it comes back before the tasks that wait.
"""

from collections.abc import Iterable

__all__ = ("Scaling",)


class Scaling:
    """Grows at once, and shrinks to what was needed at most within the last seconds.

    Args:
        least: Replicas that are there without requests.
        most: Replicas at most.
        target: Requests per replica.
        idle: Seconds in which fewer were enough until some leave.
        lend: Seconds without work after which a replica can be spared; 0 is never.
    """

    def __init__(self, least: int, most: int, target: int, idle: float, lend: float = 0.0) -> None:  # noqa: PLR0917 - as the user has them
        self.least, self.most = least, most
        self._target, self._idle, self._lend = target, idle, lend
        self._claims: list[float] = []
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

    def spare(self, replicas: int, idle_since: Iterable[float], now: float) -> int:
        """Return how many of the replicas without work can be spared.

        Args:
            replicas: How many there are to be by now.
            idle_since: From when on each of them had none.
            now: The time.
        """
        if not self._lend:
            return 0
        idle = sum(now - since >= self._lend for since in idle_since)
        return max(0, min(idle, replicas - self.least))

    def lent(self, now: float) -> None:
        """A replica was spared."""
        self._claims.append(now + self._idle)

    def claims(self, now: float) -> bool:
        """Whether the next replica that is needed has a claim to what one had that was spared; if so, it uses it."""
        self._claims = [until for until in self._claims if until > now]
        return bool(self._claims) and self._claims.pop() > now
