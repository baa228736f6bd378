"""When what befell a task: what the pilot tells of each, for the record of the run."""

from typing import Literal, get_args

import msgspec

__all__ = ("NEVER", "WAITS", "RequestTimes", "TaskTimes", "WaitedFor")

WaitedFor = Literal[
    "nothing", "cores", "gpus", "memory", "nodes", "labels", "reservation", "order", "runtime", "service", "launches",
]  # fmt: skip
"""What a task waited for in its block.

`nodes`: whole ones, or as many as a gang needs; `labels`: a node that carries them. `reservation`: there was room on
nodes that are kept for others. `order`: there was room, and others came first. `runtime`: it was starting. `service`:
it was not ready, or had enough requests. `launches`: as many ran as may at once. `nothing`: it started at once.
"""

WAITS: tuple[WaitedFor, ...] = get_args(WaitedFor)
"""A cause travels as its place in here."""


class TaskTimes(msgspec.Struct, array_like=True, gc=False):
    """When a task came to a block and started there, on the pilot's monotonic clock; 0 is never.

    It is changed in place: to make another one for each event would cost a task more than all else here.

    Attributes:
        accepted: When it came.
        placed: When it was given to a runtime, for the last time.
        lease: Number of the lease on which it runs; 0 where it takes none.
        waited: What it waited for until then, as its place in `WAITS`.
        tries: How often it ran again in this block because it was lost.
    """

    accepted: float = 0.0
    placed: float = 0.0
    lease: int = 0
    waited: int = 0
    tries: int = 0


NEVER = TaskTimes()
"""Of a task of which nothing is known."""


class RequestTimes(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What befell a request in its service.

    Attributes:
        asked: Seconds since the epoch at which a replica had it.
        first: Seconds from then to the first token; 0 where nobody knows.
        prompt: Tokens of the prompt; 0 where nobody knows.
        tokens: Tokens of the answer; 0 where nobody knows.
        replica: Which one answered.
        counted: Whether `tokens` are the pieces of a stream, for the engine did not tell.
    """

    asked: float
    first: float = 0.0
    prompt: int = 0
    tokens: int = 0
    replica: str = ""
    counted: bool = False
