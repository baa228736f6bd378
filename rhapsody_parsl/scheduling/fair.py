"""Each app, or each set of labels, has its part of the block, however many tasks it has submitted."""

import math
from typing import Literal

from rhapsody_parsl.errors import InvalidTask
from rhapsody_parsl.scheduling.protocol import Queue, WaitingTask

__all__ = ("Fair",)

_MOST_STEPS = 20.0
"""Of priority: a millionth of the others' part, or a million times it."""


class Fair:
    """Groups of tasks share the block's time equally; each step of priority doubles or halves a group's part.

    A claim is the time at which the task would end if its group had the block alone, and began where the queue stands.
    This is self-clocked fair queueing (S. J. Golestani, 1994).

    Args:
        by: What makes a group: the name of the `app`, or the `labels` of the policy.
        backfill: Whether nodes that are kept free may be used by whoever leaves in time; see `Easy`.

    Raises:
        InvalidTask: `by` is neither.
    """

    def __init__(self, by: Literal["app", "labels"] = "app", backfill: bool = True) -> None:
        if by not in ("app", "labels"):
            raise InvalidTask("Fair(by)", by, "allowed are app, labels")
        self.by, self.backfill = by, backfill

    def claim(self, task: WaitingTask, arrival: float, queue: Queue) -> float:
        """Return the end of the group's last task, or where the queue stands, and what this one adds."""
        group = task.app if self.by == "app" else task.labels
        steps = max(-_MOST_STEPS, min(_MOST_STEPS, task.priority))
        share = max(1, task.cores) / queue.cores * math.pow(2.0, steps)
        return max(queue.served, queue.last(group)) + max(task.seconds, 1e-3) * share
