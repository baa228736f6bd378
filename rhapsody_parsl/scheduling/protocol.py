"""What a policy is asked, and what it may know of the task and of the others that wait."""

from typing import Protocol, runtime_checkable

import msgspec

__all__ = ("Queue", "Scheduling", "WaitingTask")


class WaitingTask(msgspec.Struct, kw_only=True, gc=False):
    """What a task asks for, as its policy sees it.

    Attributes:
        app: The app's name.
        runtime: The runtime that takes it.
        labels: Labels that its nodes must carry.
        priority: As in `Policy(priority=...)`: lower runs first.
        walltime: Its `walltime` in seconds; 0 for none.
        nodes: Nodes that it asks for by number; 1 when it asks for cores or ranks.
        cores: Cores that it takes in all; of whole nodes all, as many as a node of the block has in the mean.
        gpus: GPUs that it takes in all.
        memory: GB of each node.
        seconds: How long it is expected to run: what its like took, or such a part of its walltime; else that, or 1.
    """

    app: str
    runtime: str = ""
    labels: tuple[str, ...] = ()
    priority: float = 0.0
    walltime: float = 0.0
    nodes: int = 1
    cores: int = 1
    gpus: float = 0.0
    memory: float = 0.0
    seconds: float = 1.0


class Queue(Protocol):
    """What a policy may know of the others that wait."""

    @property
    def cores(self) -> int:
        """Cores of the block in all."""

    @property
    def served(self) -> float:
        """The highest claim of a task that has started: where the queue stands."""

    def last(self, group: str | tuple[str, ...]) -> float:
        """Return the claim of the last task with this app's name, or with these labels; `served` when none waits."""


@runtime_checkable
class Scheduling(Protocol):
    """An order of waiting tasks.

    Attributes:
        backfill: Whether nodes that are kept free for a task may be used until it can start, by whoever leaves in time.
    """

    backfill: bool

    def claim(self, task: WaitingTask, arrival: float, queue: Queue) -> float:
        """Return a task's place in the order: the lowest claim starts first.

        It is asked once, when the task comes; the claim stays as it is while the task waits. So that no task waits
        without end, tasks that come later must get higher claims, sooner or later.

        Args:
            task: What it asks for.
            arrival: When it came, in seconds of the pilot's own clock.
            queue: The others.
        """
