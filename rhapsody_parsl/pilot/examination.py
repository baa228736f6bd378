"""What waits in a block and why, and where its tasks are, for a person who asks: looked at, and never changed.

It costs per lane and, once, per node of the block. So it is made when somebody asks, and not with each report.
"""

from collections.abc import Callable, Collection, Iterable, Mapping

import msgspec

from rhapsody_parsl.annotations.resources import Resources
from rhapsody_parsl.pilot.backlog import Backlog
from rhapsody_parsl.pilot.lane import ActiveRun, Lane
from rhapsody_parsl.pilot.reasons import Reasons
from rhapsody_parsl.pilot.room_left import RoomLeft
from rhapsody_parsl.pilot.runs import Runs
from rhapsody_parsl.pilot.starts import Starts
from rhapsody_parsl.wire.examination import LaneReport, TaskPlace
from rhapsody_parsl.wire.reports import ServiceReport
from rhapsody_parsl.wire.states import RuntimeState

__all__ = ("Examination",)

_MOST = 200
"""Lanes that are told one by one, those with the most tasks; the others are added up."""


class Examination:
    """The tasks of a block, as they are looked at from outside.

    Args:
        backlog: Who waits.
        runs: Who runs, and on what.
        starts: Which runtimes can take tasks.
        home: Where each task is.
    """

    def __init__(self, backlog: Backlog, runs: Runs, starts: Starts, home: Mapping[int, Lane | ActiveRun]) -> None:
        self._backlog, self._runs, self._starts, self._home = backlog, runs, starts, home

    def lanes(
        self,
        state_of: Callable[[str], tuple[RuntimeState, str]],
        services: Collection[ServiceReport],
        now: float,
    ) -> tuple[LaneReport, ...]:
        """Return the tasks by what they are alike in, those first of which the most wait.

        Args:
            state_of: Tells the state of a runtime, and why it is so.
            services: The block's.
            now: The time.
        """
        counts = self._counts()
        ranked = sorted(counts, key=lambda lane: (-len(lane), -counts[lane].inflight))
        reasons = Reasons(self._starts, RoomLeft(self._runs.ledger), state_of=state_of, services=services, now=now)
        told = [
            _report(lane, counts[lane], reasons.of(lane, self._backlog.wants(lane)), now) for lane in ranked[:_MOST]
        ]
        if rest := ranked[_MOST:]:
            told.append(_sum([_report(lane, counts[lane], "", now) for lane in rest]))
        return tuple(told)

    def _counts(self) -> "dict[Lane, _Counts]":
        """Return what is with the runtimes, by lane; each run is looked at once, for they may be thousands."""
        counts = {lane: _Counts() for lane in self._backlog.lanes()}
        for active in self._runs:
            if inflight := active.has:
                of_lane = counts.setdefault(active.lane, _Counts())
                of_lane.runs += 1
                of_lane.inflight += inflight
        return counts

    def places(self, tasks: Iterable[int], worker_of: Callable[[str, int], str]) -> tuple[TaskPlace, ...]:
        """Return where some tasks are; those that are not here are left out.

        Args:
            tasks: Their numbers.
            worker_of: Tells the name of the process that has a run of a runtime.
        """
        return tuple(self._place(task, home, worker_of) for task in tasks if (home := self._home.get(task)))

    def _place(self, task: int, home: Lane | ActiveRun, worker_of: Callable[[str, int], str]) -> TaskPlace:
        if isinstance(home, Lane):
            return TaskPlace(task=task, state="waiting", app=home.spec.name, runtime=home.runtime)
        lane, given = home.lane, home.task(task)
        return TaskPlace(
            task=task,
            state=home.state_of(task),
            app=self._backlog.name_of(given, lane) if given else lane.spec.name,
            runtime=lane.runtime,
            nodes=tuple(placed.node.name for placed in home.run.placed),
            worker=worker_of(lane.runtime, home.run.id),
        )


class _Counts:
    """Runs of a lane that are under way, and the tasks that they hold."""

    __slots__ = ("inflight", "runs")

    def __init__(self) -> None:
        self.inflight = self.runs = 0


def _report(lane: Lane, counts: _Counts, why: str, now: float) -> LaneReport:
    oldest, inflight = lane.oldest, counts.inflight
    running = inflight if lane.window else counts.runs
    return LaneReport(
        app="" if lane.mixed else lane.spec.name,
        runtime=lane.runtime,
        service=lane.spec.service,
        asks="" if lane.window else asks(lane.spec.resources),
        waiting=len(lane),
        running=running,
        prefetched=inflight - running,
        oldest=0.0 if oldest is None else max(0.0, now - oldest),
        why=why,
    )


def _sum(reports: list[LaneReport]) -> LaneReport:
    """Return several lanes as one."""
    counts = {key: sum(getattr(each, key) for each in reports) for key in ("waiting", "running", "prefetched")}
    first = msgspec.structs.replace(reports[0], app="", asks="", service="")
    return msgspec.structs.replace(first, oldest=max(each.oldest for each in reports), **counts)


def asks(resources: Resources) -> str:
    """Return what a task takes, for people."""
    if not resources.is_mpi:
        said = [_count(resources.cores, "core"), _count(resources.gpus, "GPU")]
    else:
        ranks = f"{resources.num_ranks} ranks" if resources.num_ranks else "a rank on each core"
        nodes = f" on {_count(resources.num_nodes, 'node')}" if resources.num_nodes else ""
        each = [_count(resources.cores_per_rank, "core") if resources.cores_per_rank > 1 else ""]
        each.append(_count(resources.gpus_per_rank, "GPU"))
        of_each = " and ".join(filter(None, each))
        some = f" (GPUs for {resources.gpu_ranks} of them)" if resources.is_mixed else ""
        said = [ranks + nodes + (f" with {of_each} each" if of_each else "") + some]
    said.append(f"{resources.memory:g} GB" if resources.memory else "")
    return ", ".join(filter(None, said)) or "nothing"


def _count(number: float, of: str) -> str:
    return f"{number:g} {of}" + ("" if number == 1 or number < 1 else "s") if number else ""
