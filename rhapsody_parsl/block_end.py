"""When the block ends, for a task that asks."""

import os
import time

__all__ = ("VARIABLE", "time_left")

VARIABLE = "RHAPSODY_JOB_END"
"""Seconds since the epoch: what somebody says who knows better, and what each task finds."""


def time_left() -> float | None:
    """Return the seconds until the end of the job that this task runs in; None where nobody says when it ends.

    It never returns less than zero. It asks nobody: a look at the clock.
    """
    end = os.environ.get(VARIABLE)
    return max(0.0, float(end) - time.time()) if end else None
