"""Reads the file of a run."""

from pathlib import Path
from typing import NamedTuple

import msgspec

from rhapsody_parsl.errors import NoRecord
from rhapsody_parsl.record.entries import (
    FORMAT,
    OUTCOMES,
    Asked,
    AskedOut,
    Asker,
    BlockJoined,
    BlockLeft,
    BlockState,
    Closed,
    Ended,
    Entry,
    Failure,
    LeasesOut,
    NodesUsed,
    Opened,
    ServiceState,
    Spec,
    TaskEntry,
)
from rhapsody_parsl.record.journal import entries
from rhapsody_parsl.record.requests import request_of
from rhapsody_parsl.record.run import (
    BlockRecord,
    NodeRecord,
    RequestRecord,
    RunRecord,
    Sample,
    ServiceMoment,
    TaskRecord,
    UseRecord,
)
from rhapsody_parsl.wire.leases import LeaseRecord
from rhapsody_parsl.wire.times import WAITS

__all__ = ("NAME", "Heard", "find", "read", "task_of")

NAME = "record.msgpack"
"""Of the file, in the executor's folder of the run directory."""
_UNDER_WAY = "the run goes on, or its driver was killed"


def find(path: str | Path = "runinfo") -> list[Path]:
    """Return the records of a run, one for each executor.

    Args:
        path: A record, an executor's folder, a run directory, or Parsl's `runinfo`: then that of the newest run.

    Raises:
        NoRecord: There is none.
    """
    path = Path(path)
    if path.is_file():
        return [path]
    if (path / NAME).is_file():
        return [path / NAME]
    if found := sorted(path.glob(f"*/{NAME}")):
        return found
    newest = max(path.glob(f"*/*/{NAME}"), key=lambda each: each.stat().st_mtime, default=None)
    if newest is None:
        raise NoRecord(str(path))
    return sorted(newest.parent.parent.glob(f"*/{NAME}"))


def read(path: str | Path) -> RunRecord:
    """Read a record, also of a run that goes on or was killed: all that is whole is returned.

    Args:
        path: The file, or what `find` takes; of several executors the first is read.

    Raises:
        NoRecord: There is none, or this is none.
    """
    file = find(path)[0]
    reader = _Reader()
    try:
        for entry in entries(file):
            reader.take(entry)
    except (OSError, msgspec.DecodeError) as problem:
        raise NoRecord(str(file), str(problem)) from problem
    if not reader.run.began:
        raise NoRecord(str(file), "it does not begin as a record does")
    return reader.finish()


class Heard(NamedTuple):
    """A task, with what is written elsewhere of it."""

    task: TaskEntry
    entry: Ended
    spec: Spec
    failure: Failure
    block: BlockRecord | None


class _Reader:
    """Puts the entries together: a lease is written when it ends, which may be after its tasks."""

    def __init__(self) -> None:
        self.run = RunRecord()
        self._specs: dict[int, Spec] = {}
        self._failures: dict[int, Failure] = {0: Failure(0, "", "")}
        self._blocks: dict[str, BlockRecord] = {}
        self._leases: dict[tuple[int, int], LeaseRecord] = {}  # by block and number
        self._out: dict[tuple[int, int], LeaseRecord] = {}
        self._tasks: list[Heard] = []
        self._askers: dict[int, Asker] = {}
        self._under_way: dict[tuple[str, int], RequestRecord] = {}  # by block and number

    def take(self, entry: Entry) -> None:
        """Take in an entry."""
        run = self.run
        run.ended = max(run.ended, getattr(entry, "at", 0.0))
        match entry:
            case Ended():
                self._end(entry)
            case Spec(number=number):
                self._specs[number] = entry
            case Failure(number=number):
                self._failures[number] = entry
            case Opened(format=form, label=label, at=at, package=package) if form == FORMAT:
                run.label, run.began, run.package = label, at, package
            case Closed(unfinished=unfinished):
                run.complete, run.unfinished = True, unfinished
            case ServiceState():
                run.services.append(ServiceMoment(*msgspec.structs.astuple(entry)))
            case Asker() | Asked() | AskedOut():
                self._take_requests(entry)
            case _:
                self._take_block(entry)

    def _take_requests(self, entry: Asker | Asked | AskedOut) -> None:
        if isinstance(entry, Asker):
            self._askers[entry.number] = entry
            return
        for each in entry.requests:
            request = request_of(each, entry.block, self._askers[each.asker], self._failures[each.failure])
            key = entry.block, each.number
            if isinstance(entry, AskedOut):
                self._under_way[key] = request
            else:
                self._under_way.pop(key, None)
                self.run.requests.append(request)
        if isinstance(entry, Asked):
            self.run.dropped += entry.dropped

    def _take_block(self, entry: Entry) -> None:
        match entry:
            case BlockJoined(block=block, at=at, nodes=nodes, cores=cores):
                has = tuple(NodeRecord(node.name, node.cores, node.gpus) for node in nodes)
                self._blocks[block] = BlockRecord(id=block, joined=at, nodes=has, cores=cores)
                self.run.blocks.append(self._blocks[block])
            case BlockLeft(block=block, at=at, reason=reason) if block in self._blocks:
                self._blocks[block].left, self._blocks[block].reason = at, reason
            case BlockState():
                self.run.samples.append(Sample(*msgspec.structs.astuple(entry)))
            case NodesUsed(block=block, at=at, nodes=nodes) if block in self._blocks:
                names = [node.name for node in self._blocks[block].nodes]
                self.run.use += [UseRecord(block, at, names[n.node], n.cpu, n.memory, n.gpus) for n in nodes]
            case LeasesOut(block=block, leases=leases) if block in self._blocks:
                self._out.update(((id(self._blocks[block]), lease.lease), lease) for lease in leases)
            case _:
                pass

    def _end(self, entry: Ended) -> None:
        block = self._blocks.get(entry.block)
        if block is not None:
            block.leases += entry.leases
            for lease in entry.leases:
                key = id(block), lease.lease
                self._leases[key] = lease
                self._out.pop(key, None)
        self._tasks += [
            Heard(task, entry, self._specs[task.spec], self._failures[task.failure], block) for task in entry.tasks
        ]

    def finish(self) -> RunRecord:
        """Return the run."""
        self._leases.update(self._out)
        for block in self.run.blocks:
            block.leases += [lease for (of, _), lease in self._out.items() if of == id(block)]
        self.run.requests += [
            msgspec.structs.replace(request, outcome="under way", words=_UNDER_WAY, ended=self.run.ended)
            for request in self._under_way.values()
        ]
        self.run.tasks += (task_of(heard, self._lease_of(heard)) for heard in self._tasks)
        return self.run

    def _lease_of(self, heard: Heard) -> LeaseRecord | None:
        return self._leases.get((id(heard.block), heard.task.times.lease)) if heard.block else None


def task_of(heard: Heard, lease: LeaseRecord | None = None) -> TaskRecord:
    """Return a task as it is told of.

    Args:
        heard: What was written of it.
        lease: The one it was on, if that is known.
    """
    task, entry, spec, failure, _ = heard
    times, offset = task.times, entry.clocks[0] - entry.clocks[1]
    placed = times.placed and times.placed + offset
    ended = task.ended if placed <= task.ended <= entry.at and task.ended else entry.at
    asked = task.request.asked if task.request else 0.0
    return TaskRecord(
        task=task.task,
        app=spec.name,
        runtime=lease.runtime if lease else spec.runtime,
        service=spec.service,
        block=entry.block,
        outcome=OUTCOMES[task.outcome],
        failure=failure.name,
        words=failure.words,
        submitted=task.submitted,
        accepted=times.accepted and times.accepted + offset,
        placed=placed,
        started=asked or (placed and max(placed, ended - task.seconds if task.ended else placed)),
        ended=ended,
        heard=entry.at,
        waited_for=WAITS[times.waited],
        tries=times.tries + 1,
        lease=times.lease,
        shares=lease.shares if lease else (),
        request=task.request,
    )
