"""First come, first served, after priority: the order of a block unless the user chooses another."""

from rhapsody_parsl.scheduling.protocol import Queue, WaitingTask

__all__ = ("Fifo",)


class Fifo:
    """The task that came first starts first; a step of priority weighs as much as some seconds of waiting.

    Args:
        ageing: These seconds.
        backfill: Whether nodes that are kept free may be used by whoever leaves in time; see `Easy`.
    """

    def __init__(self, ageing: float = 60.0, backfill: bool = False) -> None:
        self.ageing, self.backfill = ageing, backfill

    def claim(self, task: WaitingTask, arrival: float, queue: Queue) -> float:
        """Return `priority * ageing + arrival`: `priority - waited / ageing` orders tasks alike, at any moment."""
        return task.priority * self.ageing + arrival
