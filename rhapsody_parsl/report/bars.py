"""The timeline: a row for each core and GPU, and for requests, which take neither; a bar for each task and lease."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

from rhapsody_parsl.record.run import BlockRecord, RequestRecord, RunRecord, TaskRecord
from rhapsody_parsl.wire.door import FRONT_DOOR
from rhapsody_parsl.wire.leases import LeaseRecord, Share

__all__ = ("Bar", "Rows", "Timeline", "timeline")

_MOST_LANES = 32
"""Rows for the requests of a service in a block; more at a time are drawn over each other."""


class Rows(NamedTuple):
    """Rows that belong together: the cores of a node, its GPUs, or the requests of a service."""

    name: str
    kind: str
    first: int
    size: int


class Bar(NamedTuple):
    """What used some rows for some time.

    Attributes:
        row: The first.
        rows: How many.
        start: Seconds since the epoch.
        end: See there.
        app: What ran.
        runtime: Whose it was.
        task: The task's number; 0 for a lease, and for a request at a front door.
        outcome: What became of it; `service` for a service's lease, `lease` for another one.
    """

    row: int
    rows: int
    start: float
    end: float
    app: str
    runtime: str
    task: int
    outcome: str


class Timeline(NamedTuple):
    """Rows and bars."""

    rows: list[Rows]
    bars: list[Bar]


def timeline(run: RunRecord) -> Timeline:
    """Return the timeline of a run; of the leases only those of services, and those that no task tells of."""
    rows = _Layout()
    for block in run.blocks:
        rows.add_block(block, len(run.blocks) > 1)
    told = {(task.block, task.lease) for task in run.tasks if task.started}
    bars = [
        bar
        for block in run.blocks
        for lease in block.leases
        if (block.id, lease.lease) not in told
        for bar in _lease_bars(rows, block, lease, run.ended)
    ]
    for task in run.tasks:
        if task.started and task.shares:
            bars += _bars(rows, task.block, task.shares, _facts(task))
    loose = sorted((task for task in run.tasks if task.started and not task.shares), key=_lane_key)
    for name, tasks in groupby(loose, key=lambda task: _lane_key(task)[0]):
        bars += rows.pack(name, [_facts(task) for task in tasks])
    asked = sorted((_asked_facts(each) for each in run.requests if each.request), key=lambda pair: (pair[0], pair[1]))
    for name, pairs in groupby(asked, key=lambda pair: pair[0]):
        bars += rows.pack(name, [facts for _, facts in pairs])
    return Timeline(rows.rows, bars)


_Facts = tuple[float, float, str, str, int, str]


def _facts(task: TaskRecord) -> _Facts:
    return task.started, task.ended, task.app, task.runtime, task.task, task.outcome


def _asked_facts(request: RequestRecord) -> tuple[str, _Facts]:
    """Return the rows of a request that a replica had, and its bar."""
    app = f"key {request.key}" if request.key else FRONT_DOOR
    facts = request.came + request.waited, request.ended, app, FRONT_DOOR, 0, request.outcome
    return f"{FRONT_DOOR}: {request.service}", facts


def _lane_key(task: TaskRecord) -> tuple[str, float]:
    name = f"requests to {task.service}" if task.service else f"{task.runtime}, no core"
    return name, task.started


class _Layout:
    """Which row is whose."""

    def __init__(self) -> None:
        self.rows: list[Rows] = []
        self._count = 0
        self._cores: dict[tuple[str, str], tuple[int, int]] = {}
        self._gpus: dict[tuple[str, str], tuple[int, int]] = {}

    def add_block(self, block: BlockRecord, several: bool) -> None:
        """Add the rows of a block's nodes; those of its leases count, too: services may hold some for good."""
        most: dict[str, tuple[int, int]] = {node.name: (node.cores, round(node.gpus)) for node in block.nodes}
        for share in (share for lease in block.leases for share in lease.shares):
            cores, gpus = most.get(share.node, (0, 0))
            most[share.node] = max(cores, 1 + max(share.cores, default=-1)), max(gpus, 1 + max(share.gpus, default=-1))
        for node, (cores, gpus) in most.items():
            name = f"{node} (block {block.id})" if several else node
            self._cores[block.id, node] = self._add(name, "core", cores), cores
            if gpus:
                self._gpus[block.id, node] = self._add(name, "GPU", gpus), gpus

    def _add(self, name: str, kind: str, count: int) -> int:
        first, self._count = self._count, self._count + count
        if count:
            self.rows.append(Rows(name, kind, first, count))
        return first

    def ranges(self, block: str, share: Share) -> Iterator[tuple[int, int]]:
        """Yield the rows of a share: the first, and how many."""
        for ids, of in ((share.cores, self._cores), (share.gpus, self._gpus)):
            first, count = of.get((block, share.node), (0, 0))
            for _, run in groupby(enumerate(sorted(ids)), key=lambda pair: pair[1] - pair[0]):
                numbers = [number for _, number in run if number < count]
                if numbers:
                    yield first + numbers[0], len(numbers)

    def pack(self, name: str, held_nothing: list[_Facts]) -> Iterator[Bar]:
        """Yield bars of tasks and requests that hold nothing, each in the first lane that is free."""
        free: list[float] = []
        lanes = []
        for started, ended, *_ in held_nothing:
            lane = next((i for i, until in enumerate(free) if until <= started), len(free))
            if lane == len(free) and lane < _MOST_LANES:
                free.append(0.0)
            lane = min(lane, _MOST_LANES - 1)
            free[lane] = ended
            lanes.append(lane)
        first = self._add(name, "request", len(free))
        for facts, lane in zip(held_nothing, lanes, strict=True):
            yield Bar(first + lane, 1, *facts)


def _bars(rows: _Layout, block: str, shares: Iterable[Share], facts: _Facts) -> Iterator[Bar]:
    for share in shares:
        for row, count in rows.ranges(block, share):
            yield Bar(row, count, *facts)


def _lease_bars(rows: _Layout, block: BlockRecord, lease: LeaseRecord, until: float) -> Iterator[Bar]:
    end = lease.ended or block.left or until
    outcome = "lease" if lease.tasks else "service"
    return _bars(rows, block.id, lease.shares, (lease.began, end, lease.name, lease.runtime, 0, outcome))
