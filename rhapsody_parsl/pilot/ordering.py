"""Asks the policy where a task stands among those that wait, and keeps what a policy may know of them."""

import math
from collections.abc import Callable

from rhapsody_parsl.annotations.task_spec import TaskSpec
from rhapsody_parsl.errors import UnroutableTask
from rhapsody_parsl.scheduling.protocol import Queue, Scheduling, WaitingTask

__all__ = ("Ordering", "waiting_task")

_MOST_GROUPS = 10_000


class Ordering:
    """The order of a block's waiting tasks; for its policy, the queue.

    Args:
        policy: The user's choice.
        cores: Of the block.

    Attributes:
        cores: See above.
        backfill: Whether nodes that are kept free may be used by whoever leaves in time.
        served: The highest claim of a task that has started; kept up once the policy has asked for `last`.
        follows: Whether it has.
    """

    def __init__(self, policy: Scheduling, cores: int) -> None:
        self._ask: Callable[[WaitingTask, float, Queue], float] = policy.claim
        self._name = type(policy).__name__
        self.cores, self.backfill = max(1, cores), bool(policy.backfill)
        self.served = 0.0
        self.follows = False
        self._last: dict[str | tuple[str, ...], float] = {}

    def last(self, group: str | tuple[str, ...]) -> float:
        """Return the claim of the last task of a group; `served` when there is none."""
        self.follows = True
        return self._last.get(group, self.served)

    def claim(self, task: WaitingTask, arrival: float, seconds: float | None = None) -> float:
        """Return the claim of a task that comes.

        Args:
            task: What it asks for.
            arrival: When it came.
            seconds: How long its like took, if that is known.

        Raises:
            UnroutableTask: The policy fails for it.
        """
        if seconds is not None:
            task.seconds = seconds
        try:
            claim = float(self._ask(task, arrival, self))  # whatever kind of number it is
            known = -math.inf < claim < math.inf
        except (Exception, SystemExit) as problem:  # whatever the user's code raises
            raise self._failed(task, f"raised {type(problem).__name__}: {problem}") from problem
        if not known:
            raise self._failed(task, f"returned {claim}")
        if self.follows:
            self._follow(task, claim)
        return claim

    def claim_again(self, task: WaitingTask, arrival: float) -> float:
        """Return the claim of a task that had its turn, and is back: of groups it comes first."""
        if self.follows:
            return self.served
        try:
            return self.claim(task, arrival)
        except UnroutableTask:
            return arrival

    def started(self, claim: float) -> None:
        """A task with a claim has started."""
        self.served = max(self.served, claim)

    def forget(self) -> None:
        """Nobody waits: all groups begin where the queue stands."""
        self._last.clear()

    def _follow(self, task: WaitingTask, claim: float) -> None:
        if len(self._last) >= _MOST_GROUPS:
            self._last.clear()
        self._last[task.app] = self._last[task.labels] = claim

    def _failed(self, task: WaitingTask, what: str) -> UnroutableTask:
        return UnroutableTask("scheduling", self._name, f"`claim` {what}, for {task.app}", "Correct the policy")


def waiting_task(spec: TaskSpec, runtime: str, each: int = 0) -> WaitingTask:
    """Return what a policy is told of tasks with a spec.

    Args:
        spec: The spec.
        runtime: Which takes them.
        each: Cores of a node, for tasks that take whole nodes; 0 for others.
    """
    resources, policy = spec.resources, spec.policy
    ranks = resources.num_ranks or resources.num_nodes * max(1, resources.ranks_per_node)
    gang, with_gpus = resources.is_mpi, resources.gpu_ranks if resources.is_mixed else ranks
    cores = ranks * resources.cores_per_rank if gang else resources.cores
    if each:
        cores = each * max(1, resources.num_nodes, math.ceil(cores / each))
    return WaitingTask(
        app=spec.name,
        runtime=runtime,
        labels=policy.labels,
        priority=policy.priority,
        walltime=policy.walltime,
        nodes=max(1, resources.num_nodes),
        cores=cores,
        gpus=with_gpus * resources.gpus_per_rank if gang else resources.gpus,
        memory=resources.memory,
        seconds=policy.walltime or 1.0,
    )
