"""One request on its way through the pilot's half."""

from collections.abc import Sequence

import msgspec

from rhapsody_parsl.errors import RhapsodyError, to_wire
from rhapsody_parsl.wire.messages import FAILED, Result

__all__ = ("MOST_ASKS", "Request", "choose", "failed")

MOST_ASKS = 3
"""How often a request is put to an engine: once, and again after each of two engines died under it."""


class Request:
    """A task, from the moment the core gives it to us until it is done.

    Attributes:
        task: The task's number.
        run: The core's run it belongs to.
        service: Name of the service it asks.
        full: Whether the whole response is wanted.
        rerun: Whether its body may run again when its worker is lost.
        body: What the body returned, as msgpack; empty until then.
        asks: How often it was put to an engine.
        replica: Name of the replica that holds it, "" for none.
    """

    __slots__ = ("asks", "body", "full", "replica", "rerun", "run", "service", "task")

    def __init__(self, task: int, run: int, service: str, full: bool, rerun: bool) -> None:
        self.task, self.run, self.service, self.full, self.rerun = task, run, service, full, rerun
        self.body = b""
        self.asks = 0
        self.replica = ""


def failed(task: int, error: RhapsodyError) -> Result:
    """Return one of our errors as a task's result (the pilot opens no payload, so it does not use the worker's)."""
    return Result(task, FAILED, msgspec.msgpack.encode(to_wire(error)))


def choose(outstanding: Sequence[int], limit: int) -> int | None:
    """Return the index of the replica with the least to do, the first of equals; None when each has `limit`."""
    best = min(range(len(outstanding)), key=outstanding.__getitem__, default=None)
    return best if best is not None and outstanding[best] < limit else None
