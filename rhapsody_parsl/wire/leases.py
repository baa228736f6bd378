"""What a pilot says of its leases; they travel as arrays, for there are many."""

from functools import cache

import msgspec

__all__ = ("LeaseRecord", "Share", "alone")


@cache
def alone(core: int) -> tuple[int, ...]:
    """Return a core as the only one of a tuple, each time the same: a block lends a hundred thousand."""
    return (core,)


class Share(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What a lease holds of one node."""

    node: str
    cores: tuple[int, ...]
    gpus: tuple[int, ...] = ()
    memory: float = 0.0


class LeaseRecord(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A line of the ledger's history; times are seconds since the epoch, `ended` is 0 while the lease runs.

    `parent` is the number of the task that submitted its first task; 0 for the driver.
    """

    lease: int
    runtime: str
    name: str
    shares: tuple[Share, ...]
    began: float
    ended: float
    tasks: int = 0
    parent: int = 0
