"""What the driver notes of a run while it goes on."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from rhapsody_parsl.annotations.task_spec import decode_spec
from rhapsody_parsl.record.entries import (
    FORMAT,
    OUTCOMES,
    Asked,
    AskedOut,
    BlockJoined,
    BlockLeft,
    BlockState,
    Closed,
    Ended,
    Entry,
    LeasesOut,
    NodeHas,
    NodesUsed,
    NodeUsed,
    Opened,
    ServiceState,
    Spec,
    TaskEntry,
)
from rhapsody_parsl.record.failures import Failures
from rhapsody_parsl.record.journal import Journal, entries
from rhapsody_parsl.record.requests import Requests
from rhapsody_parsl.wire.door import DoorRequest
from rhapsody_parsl.wire.leases import LeaseRecord
from rhapsody_parsl.wire.messages import RAISED, RESULT, Result, Task
from rhapsody_parsl.wire.reports import BlockReport, Inventory, ServiceReport
from rhapsody_parsl.wire.states import Outcome
from rhapsody_parsl.wire.times import NEVER, TaskTimes
from rhapsody_parsl.wire.use import Used

__all__ = ("Listener", "Recorder")

_IN_MEMORY = 8192
"""Leases, some hundred bytes each, for `timeline`."""
_MOST_SPECS = 4000
_PIECE, _AFTER = 2048, 0.5
"""Tasks and leases that leave for the file at once; seconds after which fewer do."""
_STATE_EVERY = 2.0
_LAST_WORDS = 10.0
"""Seconds for what is not in the file at the end."""
_LASTS = 10.0
"""Seconds after which a lease is written before it ends: a crash may come first."""
_DONE, _RAISED = OUTCOMES.index("done"), OUTCOMES.index("raised")

Lease = tuple[str, LeaseRecord]
"""Block and lease."""


class Listener(Protocol):
    """Who is told of a run while it goes on."""

    def submitted(self, task: int) -> None:
        """The driver has a task; told on the thread that brings it."""

    def take(self, piece: Sequence[Entry]) -> None:
        """These are the next entries; told on the journal's thread."""

    def close(self) -> None:
        """There are no more."""


class Recorder:
    """Takes in what happens; one thread at a time, but for `submitted` and `leases`.

    Args:
        path: The file; None for none: then only the newest leases are kept, in memory.
        label: The executor's.
        package: Version of the package.
        default_runtime: Of tasks that name none.
        listener: Gets all that is noted, too.
        clock: Seconds since the epoch.
    """

    def __init__(
        self,
        path: Path | None = None,
        *,
        label: str = "",
        package: str = "",
        default_runtime: str = "",
        listener: Listener | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._journal = Journal(path, listener.take if listener else None) if path or listener else None
        self._listener = listener
        self._default, self._clock = default_runtime, clock
        self._lock = threading.Lock()
        self._newest: deque[Lease] = deque(maxlen=_IN_MEMORY)
        self._lease_count = 0
        self._submitted: dict[int, float] = {}
        self._again: dict[int, int] = {}
        self._specs: dict[bytes, int] = {}
        self._spec_count = 0
        self._failures = Failures(self._put)
        self._requests = Requests(self._put, self._failures)
        self._services: dict[tuple[str, str], tuple[str, int, int, str]] = {}
        self._told: dict[str, float] = {}
        self._places: dict[str, dict[str, int]] = {}
        self._out: set[tuple[str, int]] = set()
        self._asked_out: set[tuple[str, int]] = set()
        self._weight, self._left_at = 0, clock()
        self._entries: list[Entry] = []
        self._put(Opened(FORMAT, label, clock(), package, default_runtime))

    @property
    def on(self) -> bool:
        """Whether anything is noted of tasks."""
        return self._journal is not None

    # --- tasks ---------------------------------------------------------------------------------------------------

    def submitted(self, task: int) -> None:
        """The driver has a task; any thread may tell."""
        if self._journal:
            self._submitted[task] = self._clock()
            if self._listener:
                self._listener.submitted(task)

    def entry(self, task: Task, result: Result, times: TaskTimes = NEVER) -> TaskEntry:
        """Return the entry of a task that has a result."""
        if result.kind == RESULT:
            outcome, failure = _DONE, 0
        else:
            outcome = _RAISED if result.kind == RAISED else OUTCOMES.index(result.outcome)
            failure = self._failures.of_result(result)
        number, spec = task.id, self._specs.get(task.spec) or self._spec_of(task)
        since = self._submitted.pop(number, 0.0)
        if self._again and (tries := self._again.pop(number, 0)) and times is not NEVER:
            times.tries += tries
        return TaskEntry(number, spec, since, outcome, failure, result.ended, result.seconds, times, result.request)

    def again(self, task: int) -> None:
        """A task was lost with its block, and goes to another one."""
        if self._journal:
            self._again[task] = self._again.get(task, 0) + 1

    def gone(self, block: str, task: Task, outcome: Outcome, error: Exception | None = None) -> None:
        """A task has ended with no result.

        Args:
            block: Where it was; "" for nowhere.
            task: The task.
            outcome: What became of it.
            error: Why.
        """
        since = self._submitted.pop(task.id, 0.0)
        self._again.pop(task.id, None)
        if self._journal:
            failure = self._failures.of_error(error) if error else 0
            entry = TaskEntry(task.id, self._spec_of(task), since, OUTCOMES.index(outcome), failure)
            self._put(Ended(block, self._clock(), (0.0, 0.0), [entry], []), 1)

    def ended(
        self, block: str, tasks: Sequence[TaskEntry], leases: Sequence[LeaseRecord], clocks: tuple[float, float]
    ) -> None:
        """Tasks and leases of a block have ended; `clocks` is as in `wire.messages.Results`."""
        if leases:
            with self._lock:
                self._newest.extend((block, lease) for lease in leases)
                self._lease_count += len(leases)
            if self._out:
                self._out.difference_update((block, lease.lease) for lease in leases)
        if self._journal and (tasks or leases):
            self._put(Ended(block, self._clock(), clocks, list(tasks), list(leases)), len(tasks) + len(leases))

    def asked(self, block: str, ended: Sequence[DoorRequest], dropped: int = 0) -> None:
        """Requests at the front door of a block have ended, and so many that nobody could keep."""
        if self._journal and (ended or dropped):
            self._asked_out.difference_update((block, request.number) for request in ended)
            self._put(Asked(block, self._clock(), self._requests.entries(ended), dropped), len(ended))

    def _spec_of(self, task: Task) -> int:
        """Return the number of a task's spec, a new one if need be."""
        number = self._specs.get(task.spec)
        if number is None:
            if len(self._specs) >= _MOST_SPECS:
                self._specs.clear()
            self._spec_count += 1
            number = self._specs[task.spec] = self._spec_count
            self._put(_spec(number, task.spec, self._default))
        return number

    # --- blocks --------------------------------------------------------------------------------------------------

    def joined(self, block: str, inventory: Inventory) -> None:
        """A block is there."""
        nodes = tuple(NodeHas(node.name, node.cores, node.gpus) for node in inventory.nodes)
        self._places[block] = {node.name: place for place, node in enumerate(nodes)}
        self._put(BlockJoined(block, self._clock(), nodes, inventory.cores))

    def left(self, block: str, reason: str) -> None:
        """A block is gone."""
        self._told.pop(block, None)
        self._places.pop(block, None)
        self._services = {key: facts for key, facts in self._services.items() if key[0] != block}
        self._out = {key for key in self._out if key[0] != block}
        self._asked_out = {key for key in self._asked_out if key[0] != block}
        self._put(BlockLeft(block, self._clock(), reason))

    def report(self, block: str, state: BlockReport) -> None:
        """A block told how it is."""
        if not self._journal:
            return
        now = self._clock()
        for service in state.services:
            self._note_service(block, service, now)
        if now - self._told.get(block, 0.0) >= _STATE_EVERY:
            self._told[block] = now
            self._put(BlockState(block, now, state.tasks.queued, state.tasks.running, state.waits))
        self.flush(_AFTER)

    def look(self, block: str, leases: Iterable[LeaseRecord], requests: Iterable[DoorRequest]) -> None:
        """Note what goes on for a while; to be called every few seconds, for a block at rest tells nothing.

        Args:
            block: The block.
            leases: Those that are out.
            requests: Those that are under way at its front door.
        """
        if self._journal:
            now = self._clock()
            self._note_out(block, leases, now)
            self._note_under_way(block, requests, now)

    def used(self, block: str, used: Used) -> None:
        """Nodes of a block told how much they work."""
        if self._journal:
            places = self._places.get(block, {})
            told = [
                NodeUsed(places[name], use.cpu, use.memory, tuple((gpu.busy, gpu.memory) for gpu in use.gpus))
                for name, use in used.nodes.items()
                if name in places
            ]
            self._put(NodesUsed(block, self._clock() - used.seconds, told))
            self.flush(_AFTER)

    def _note_service(self, block: str, service: ServiceReport, now: float) -> None:
        facts = (service.state, service.ready, service.replicas, service.node)
        if self._services.get((block, service.name)) != facts:
            self._services[block, service.name] = facts
            self._put(ServiceState(block, now, service.name, *facts))

    def _note_out(self, block: str, leases: Iterable[LeaseRecord], now: float) -> None:
        new = [each for each in leases if now - each.began > _LASTS and (block, each.lease) not in self._out]
        if new:
            self._out.update((block, lease.lease) for lease in new)
            self._put(LeasesOut(block, now, new), len(new))

    def _note_under_way(self, block: str, requests: Iterable[DoorRequest], now: float) -> None:
        new = [request for request in requests if (block, request.number) not in self._asked_out]
        if new:
            self._asked_out.update((block, request.number) for request in new)
            self._put(AskedOut(block, now, self._requests.entries(new)), len(new))

    # --- the file ------------------------------------------------------------------------------------------------

    def _put(self, entry: Entry, weight: int = 1) -> None:
        if not self._journal:
            return
        with self._lock:
            self._entries.append(entry)
            self._weight += weight
        if self._weight >= _PIECE:
            self.flush()

    def flush(self, after: float = 0.0) -> None:
        """Have what was noted written, if the last time is so many seconds ago."""
        if self._journal and self._entries and (not after or self._clock() - self._left_at >= after):
            with self._lock:
                piece, self._entries = self._entries, []
                weight, self._weight = self._weight, 0
                self._left_at = self._clock()
                self._journal.put(piece, weight)

    def leases(self, last: int | None = None) -> list[Lease]:
        """Return the newest ended leases, the oldest first; any thread may ask.

        Args:
            last: How many at most; None is all.
        """
        with self._lock:
            newest, count = list(self._newest), self._lease_count
        wanted = count if last is None else min(last, count)
        if wanted > len(newest) and self._journal and self._journal.path:
            self.flush()
            self._journal.settle(_LAST_WORDS)
            newest = list(deque(_leases_in(self._journal.path), maxlen=wanted)) or newest
        return newest[len(newest) - min(wanted, len(newest)) :]

    def close(self) -> None:
        """Write what is left; to be called once, when nothing is noted any more."""
        self._put(Closed(self._clock(), len(self._submitted)))
        self.flush()
        if self._journal:
            self._journal.close(_LAST_WORDS)
        if self._listener:
            self._listener.close()


def _spec(number: int, encoded: bytes, default_runtime: str) -> Spec:
    spec = decode_spec(encoded)
    of = spec.resources
    ranks = of.num_ranks or (of.num_nodes or 0) * (of.ranks_per_node or 0)
    runtime = spec.runtime or default_runtime
    return Spec(number, spec.name, runtime, spec.service, of.cores, float(of.gpus), of.memory, ranks)


def _leases_in(path: Path) -> Iterable[Lease]:
    try:
        for entry in entries(path):
            if isinstance(entry, Ended):
                yield from ((entry.block, lease) for lease in entry.leases)
    except (OSError, msgspec.DecodeError):
        return
