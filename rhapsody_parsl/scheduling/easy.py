"""First come, first served, with EASY backfill."""

from rhapsody_parsl.scheduling.fifo import Fifo

__all__ = ("Easy",)


class Easy(Fifo):
    """The order of `Fifo`; nodes that are kept free for a task are used until it can start, by whoever leaves in time.

    EASY backfill is of D. A. Lifka, "The ANL/IBM SP Scheduling System", 1995. When somebody leaves is known by its
    walltime, else by what its like took before.

    Args:
        ageing: Seconds of waiting that weigh as much as one step of priority.
    """

    def __init__(self, ageing: float = 60.0) -> None:
        super().__init__(ageing, backfill=True)
