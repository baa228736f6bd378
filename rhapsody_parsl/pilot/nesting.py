"""May a task submit tasks like this, and what becomes of the run in which it waits for them."""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence

import msgspec

from rhapsody_parsl.annotations.policy import FIRST_HOST, PolicyValue
from rhapsody_parsl.annotations.resources import Resources
from rhapsody_parsl.annotations.task_spec import MAILBOX, TURN, TaskSpec, decode_spec, encode_spec
from rhapsody_parsl.errors import AgentNameTaken, NeedsItsParent, NoParent, TooDeep, TooManyAgents, UnroutableTask
from rhapsody_parsl.pilot import scheduler
from rhapsody_parsl.pilot.backlog import Backlog
from rhapsody_parsl.pilot.family import Family
from rhapsody_parsl.pilot.lane import ActiveRun, Lane
from rhapsody_parsl.pilot.last_starts import LastStarts
from rhapsody_parsl.pilot.ledger import Lease
from rhapsody_parsl.pilot.runs import Runs
from rhapsody_parsl.runtime_table import find
from rhapsody_parsl.wire.messages import Result, Task

__all__ = ("Limits", "Nesting")


class Limits(msgspec.Struct, frozen=True):
    """How far tasks may submit tasks.

    Attributes:
        depth: How many tasks may be above one.
        children: How many unfinished tasks of its own a task may have.
        agents: How many agents a block may have.
    """

    depth: int = 8
    children: int = 100_000
    agents: int = 100


class Nesting:
    """Tasks of tasks.

    Args:
        family: Who submitted whom.
        runs: The block's.
        backlog: Who waits.
        home: Where each task is.
        last_starts: Which tasks end before the block does; None where that never ends.
        limits: How far it may go.
    """

    def __init__(
        self,
        family: Family,
        runs: Runs,
        backlog: Backlog,
        home: Mapping[int, Lane | ActiveRun],
        *,
        last_starts: LastStarts | None,
        limits: Limits,
    ) -> None:
        self._family, self._ledger, self._backlog, self._home = family, runs.ledger, backlog, home
        self._lender = runs.lender
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
            AgentNameTaken: It is that of an agent, and another one has its name.
            TooManyAgents: It is that of an agent, and there are as many as there may be.
        """
        self._run_of(parent)
        spec = decode_spec(encoded)
        if self._family.depth_of(parent) >= self.limits.depth and spec.runtime != MAILBOX:
            raise TooDeep(self.limits.depth)
        if spec.mailbox:
            self._check_agent(spec.mailbox)
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
        if not (tasks and isinstance(active, ActiveRun)):
            return [], []
        adopted = self._family.adopt(parent, peer, tasks, keep)
        behind = active.recall(now)
        active.recalled = True
        return adopted, behind

    def heard(self, peer: Hashable, results: Iterable[Result]) -> Iterator[Result]:
        """Yield the results of which a process has heard before us; not of what was lost all the same, and runs again.

        Args:
            peer: The process, which has submitted them.
            results: By its numbers.
        """
        for result in results:
            task = self._family.number_of(peer, result.id)
            if isinstance(active := self._home.get(task), ActiveRun) and active.run.id == result.told:
                yield msgspec.structs.replace(result, id=task)

    # --- agents --------------------------------------------------------------------------------------------------

    def _check_agent(self, name: str) -> None:
        if self.host_of(name):
            raise AgentNameTaken(name)
        of_agents = [lane for lane in self._backlog.known_lanes() if lane.spec.mailbox]
        if sum(len(lane) + len(lane.runs) for lane in of_agents) >= self.limits.agents:
            raise TooManyAgents(self.limits.agents)

    def host_of(self, agent: str) -> int:
        """Return the number of the task of an agent, 0 when it has none here."""
        for lane in self._backlog.known_lanes():
            if lane.spec.mailbox == agent:
                running = (task for active in lane.runs.values() for task in active.numbers())
                if task := next(running, 0) or (lane.first.id if lane.first else 0):
                    return task
        return 0

    def tasks(self) -> list[int]:
        """Return the numbers of all tasks of the block."""
        return list(self._home)

    def is_here(self, task: int) -> bool:
        """Whether a task has not ended."""
        return task in self._home

    def is_the_drivers(self, task: int) -> bool:
        """Whether no task of the block has submitted this one."""
        return task not in self._family

    def watch(self, task: int) -> None:
        """Have it noted when this task ends or starts anew."""
        self._family.agents.add(task)

    def proven(self, task: int) -> None:
        """A task did well: earlier losses do not count against it any more."""
        self._family.proven.add(task)

    def fails_unanswered(self, task: int) -> bool:
        """Whether a message fails at which the process of this agent was lost."""
        home = self._home.get(task)
        lane = home.lane if isinstance(home, ActiveRun) else home
        return lane is not None and lane.spec.policy.unanswered == "fail"

    # --- who lends ------------------------------------------------------------------------------------------------

    def lends(self, parent: int) -> bool:
        """Whether a task lends its cores while it waits."""
        return self._run_of(parent).lane.spec.policy.lend

    def lend_cores(self, parent: int) -> bool:
        """A task waits: others may have its cores; return whether it had some."""
        home = self._home.get(parent)
        if not isinstance(home, ActiveRun) or home.lent or home.lease is None or not home.lane.spec.policy.lend:
            return False
        if home.lease.shares[0].cores:
            self._lender.lend_on(home)
        return bool(home.lent)

    def turn_of(self, parent: int) -> TaskSpec | None:
        """Return what a task asks for that needs its cores again; None for one that has lent none."""
        home = self._home.get(parent)
        if not isinstance(home, ActiveRun) or not home.lent:
            return None
        spec, node = home.lane.spec, home.run.placed[0].node.name
        policy = PolicyValue(priority=spec.policy.priority, labels=(node,))
        return TaskSpec(name=spec.name, runtime=TURN, resources=Resources(cores=home.lent), policy=policy)

    # --- what a parent may ask ------------------------------------------------------------------------------------

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
        above = [(run.lease, run.lane.spec.policy.lend) for run in self._runs_above(parent) if run.lease is not None]
        held = [_while_it_waits(lease) if lends else lease for lease, lends in above]
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


def _while_it_waits(lease: Lease) -> Lease:
    shares = tuple(msgspec.structs.replace(share, cores=()) for share in lease.shares)
    return msgspec.structs.replace(lease, shares=shares)


def _needs_parent(spec: TaskSpec) -> NeedsItsParent:
    resources = spec.resources
    key, value = ("num_ranks", resources.num_ranks) if resources.is_mpi else ("cores", resources.cores)
    return NeedsItsParent(
        key, value, f"the tasks above '{spec.name}' hold what it needs, and nothing else of the block can hold it",
        "Give these cores=0, or submit with block(outlive=True) and do not wait",
    )  # fmt: skip
