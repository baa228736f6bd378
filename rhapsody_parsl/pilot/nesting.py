"""May a task submit tasks like this, and what becomes of the run in which it waits for them."""

from collections.abc import Hashable, Mapping, Sequence

import msgspec

from rhapsody_parsl.annotations.policy import FIRST_HOST
from rhapsody_parsl.annotations.task_spec import TaskSpec, decode_spec, encode_spec
from rhapsody_parsl.errors import NeedsItsParent, NoParent, TooDeep, UnroutableTask
from rhapsody_parsl.pilot import scheduler
from rhapsody_parsl.pilot.backlog import Backlog
from rhapsody_parsl.pilot.family import Family
from rhapsody_parsl.pilot.lane import ActiveRun, Lane
from rhapsody_parsl.pilot.last_starts import LastStarts
from rhapsody_parsl.pilot.ledger import Ledger
from rhapsody_parsl.runtime_table import find
from rhapsody_parsl.wire.messages import Task

__all__ = ("Limits", "Nesting")


class Limits(msgspec.Struct, frozen=True):
    """How far tasks may submit tasks.

    Attributes:
        depth: How many tasks may be above one.
        children: How many unfinished tasks of its own a task may have.
    """

    depth: int = 8
    children: int = 100_000


class Nesting:
    """Tasks of tasks.

    Args:
        family: Who submitted whom.
        ledger: The block's.
        backlog: Who waits.
        home: Where each task is.
        last_starts: Which tasks end before the block does; None where that never ends.
        limits: How far it may go.
    """

    def __init__(
        self,
        family: Family,
        ledger: Ledger,
        backlog: Backlog,
        home: Mapping[int, Lane | ActiveRun],
        *,
        last_starts: LastStarts | None,
        limits: Limits,
    ) -> None:
        self._family, self._ledger, self._backlog, self._home = family, ledger, backlog, home
        self._last_starts, self.limits = last_starts, limits

    def admit(self, parent: int, encoded: bytes, keep: bool, now: float) -> bytes:
        """Return the specification of a task's tasks as the block wants it.

        Args:
            parent: The task's number.
            encoded: The specification.
            keep: Whether they live on when it ends.
            now: The time.

        Raises:
            NoParent: The task does not run any more.
            TooDeep: Too many tasks are above it.
            UnroutableTask: No runtime takes them, the whole block could not hold them, or there is not the time.
            NeedsItsParent: They would wait for what it holds.
            PayloadError: It is no specification.
        """
        self._run_of(parent)
        if self._family.depth_of(parent) >= self.limits.depth:
            raise TooDeep(self.limits.depth)
        spec = decode_spec(encoded)
        runtime = self._backlog.lane_of(encoded).runtime
        confined = _confined(spec, runtime)
        if confined is not spec:
            encoded = encode_spec(confined)
            self._backlog.lane_of(encoded)
        self._check_time(spec, now)
        takes_lease = not self._backlog.lane_of(encoded).window
        if takes_lease and not keep:
            self._check_above(self._backlog.lane_of(encoded), confined, parent)
        return encoded

    def adopt(
        self, parent: int, peer: Hashable, tasks: Sequence[Task], *, keep: bool, now: float
    ) -> tuple[list[Task], list[int]]:
        """Take in what a task submits.

        Args:
            parent: The task's number.
            peer: Its process.
            tasks: By the process's numbers.
            keep: Whether they live on when it ends.
            now: The time.

        Returns:
            The tasks under numbers of the block's own, and those that its run is to give back: its worker stays on it.
            Nothing when the task does not run any more: then nobody wants them.
        """
        active = self._home.get(parent)
        if not isinstance(active, ActiveRun):
            return [], []
        adopted = self._family.adopt(parent, peer, tasks, keep)
        behind = active.recall(now)
        active.recalled = True
        return adopted, behind

    def _run_of(self, parent: int) -> ActiveRun:
        home = self._home.get(parent)
        if not isinstance(home, ActiveRun):
            raise NoParent("the task has finished, or was cancelled")
        return home

    def _check_time(self, spec: TaskSpec, now: float) -> None:
        walltime = spec.policy.walltime
        if walltime and self._last_starts and not self._last_starts.allow(walltime, now):
            raise UnroutableTask("walltime", walltime, "the block ends before", "Lower it")

    def _check_above(self, lane: Lane, spec: TaskSpec, parent: int) -> None:
        """Refuse tasks that can only have what those above them hold, who wait for them."""
        most = self._backlog.launches.most
        if lane.launches and sum(run.lane.launches for run in self._runs_above(parent)) >= most:
            raise NeedsItsParent(
                "max_launches", most, f"the tasks above '{spec.name}' are as many launches as there may be at once",
                "Raise RhapsodyExecutor(max_launches=...), or submit with block(outlive=True) and do not wait",
            )  # fmt: skip
        if self._is_held_above(spec, parent):
            raise _needs_parent(spec)

    def _is_held_above(self, spec: TaskSpec, parent: int) -> bool:
        """Whether what a task asks for can be had only from the tasks above it."""
        if scheduler.place(spec, self._ledger) is not None:
            return False
        held = [run.lease for run in self._runs_above(parent) if run.lease is not None]
        return bool(held) and scheduler.place(spec, self._ledger.at_best_beside(held)) is None

    def _runs_above(self, parent: int) -> list[ActiveRun]:
        runs = []
        while parent:
            if isinstance(home := self._home.get(parent), ActiveRun):
                runs.append(home)
            parent = self._family.parent_of(parent)
        return runs


def _confined(spec: TaskSpec, runtime: str) -> TaskSpec:
    """Return the spec with the label of the only host that its runtime works on."""
    kind = find(runtime)
    if kind is None or kind.takes.hosts or FIRST_HOST in spec.policy.labels:
        return spec
    policy = msgspec.structs.replace(spec.policy, labels=(*spec.policy.labels, FIRST_HOST))
    return msgspec.structs.replace(spec, policy=policy)


def _needs_parent(spec: TaskSpec) -> NeedsItsParent:
    resources = spec.resources
    key, value = ("num_ranks", resources.num_ranks) if resources.is_mpi else ("cores", resources.cores)
    return NeedsItsParent(
        key, value, f"the tasks above '{spec.name}' hold what it needs, and nothing else of the block can hold it",
        "Give these cores=0, or submit with block(outlive=True) and do not wait",
    )  # fmt: skip
