"""What the core wants done; the shell does it."""

from collections.abc import Callable

import msgspec

from rhapsody_parsl.in_block.context import Loan
from rhapsody_parsl.runtimes.protocol import Run
from rhapsody_parsl.wire.messages import Task

__all__ = ("CancelTasks", "DiscardResults", "EndRun", "Feed", "Fit", "Grant", "Instruction", "StartRuntime")


class StartRuntime(msgspec.Struct, frozen=True):
    """Start this runtime, and say `runtime_ready` or `runtime_failed`."""

    name: str


class Feed(msgspec.Struct, frozen=True):
    """Give tasks to a run of a runtime."""

    runtime: str
    run: Run
    tasks: list[Task]


class Fit(msgspec.Struct, frozen=True):
    """A run's lease holds other cores or memory now."""

    run: Run


class CancelTasks(msgspec.Struct, frozen=True):
    """Take tasks back from a run; with `kill`, end the one that has begun."""

    runtime: str
    run: Run
    tasks: list[int]
    kill: bool


class EndRun(msgspec.Struct, frozen=True):
    """A run is over."""

    runtime: str
    run: Run


class DiscardResults(msgspec.Struct, frozen=True):
    """Remove what processes may have written of results that nobody will read.

    Attributes:
        tasks: Their tasks.
        left: Those of them that may have left values, on any host.
    """

    tasks: list[int]
    left: list[int] = []


class Grant(msgspec.Struct, frozen=True):
    """Give a service the lease that it has waited for."""

    granted: Callable[[Loan], None]
    loan: Loan


Instruction = DiscardResults | StartRuntime | Feed | Fit | CancelTasks | EndRun | Grant
