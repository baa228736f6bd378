"""First come, first served but for what is hard to place, with EASY backfill."""

import math

from rhapsody_parsl.scheduling.fifo import Fifo
from rhapsody_parsl.scheduling.protocol import Queue, WaitingTask

__all__ = ("Easy",)

_DOUBLINGS = 20
"""Of a second, until a task counts as long as any: twelve days."""


class Easy(Fifo):
    """Of tasks that come at about the same time what takes long comes first, and gangs before all.

    So the short ones are left for the nodes that are kept free for a gang: they are used until it can start, by whoever
    leaves in time. EASY backfill is of D. A. Lifka, "The ANL/IBM SP Scheduling System", 1995. When somebody leaves is
    known by its walltime, else by what its like took before.

    Args:
        ageing: Seconds of waiting that weigh as much as one step of priority, and as a gang's start before all others.
    """

    def __init__(self, ageing: float = 60.0) -> None:
        super().__init__(ageing, backfill=True)

    def claim(self, task: WaitingTask, arrival: float, queue: Queue) -> float:
        """Return the claim of `Fifo`, less a step of priority at most: the less, the sooner the task ends."""
        hard = 1.0 if task.nodes > 1 else min(1.0, math.log2(1.0 + task.seconds) / _DOUBLINGS)
        return super().claim(task, arrival, queue) - hard * self.ageing
