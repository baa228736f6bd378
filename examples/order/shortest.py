"""A policy of one's own: small tasks start first, large ones ten minutes later at most."""

from rhapsody_parsl import Queue, WaitingTask


class ShortestFirst:
    """Small tasks pass large ones.

    Args:
        most: Seconds by which the largest task is put back at most.
    """

    backfill = True

    def __init__(self, most: float = 600.0) -> None:
        self.most = most

    def claim(self, task: WaitingTask, arrival: float, queue: Queue) -> float:
        """Return its arrival, later by what it takes of the block."""
        return arrival + min(self.most, task.seconds * task.cores)
