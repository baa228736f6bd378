"""What the pilot knows of a runtime; who writes one finds here all that it deals with."""

from collections.abc import Sequence
from typing import Protocol

from rhapsody_parsl.annotations.task_spec import TaskSpec
from rhapsody_parsl.in_block.context import Context, Events, Node, Placed, Run
from rhapsody_parsl.wire.messages import Task

__all__ = ("Context", "Events", "Node", "Placed", "Run", "Runtime")


class Runtime(Protocol):
    """A runtime of the block, seen from the pilot; made of its configuration and a `Context`.

    The pilot calls `start` before the first `run`, feeds a run any number of times, and calls `end` when nothing of
    it is in flight, also after it was lost; then the lease goes to somebody else. A runtime that loses a process
    reports `lost` for the runs on it, and starts what it needs again with the next run. A runtime that can lose one
    task of a run and keep the others, as a service does, reports that one as `done` with an error.

    `tests/integration/test_protocol.py` holds every runtime to this.

    Attributes:
        name: As users write it.
        eager: Whether it starts with the block instead of with the first task that needs it.
    """

    name: str
    eager: bool

    def refuse(self, spec: TaskSpec) -> str:
        """Return why this runtime can never take such a task, or ""."""

    async def start(self) -> None:
        """Get ready; idempotent.

        Raises:
            RhapsodyError: It cannot run in this block, with the remedy.
        """

    def run(self, run: Run, tasks: Sequence[Task]) -> None:
        """Give tasks to a run, new or under way."""

    def end(self, run: Run) -> None:
        """Nothing of this run is in flight: what worked for it is free."""

    def cancel(self, run: Run, tasks: Sequence[int], kill: bool) -> None:
        """Take back what has not begun (reported by `returned`); with `kill`, end what has (reported by `lost`).

        What is over, or is no task of the run, is passed over: the pilot's word may cross the runtime's.
        """

    async def stop(self) -> None:
        """End everything; returns when nothing is left. Idempotent."""
