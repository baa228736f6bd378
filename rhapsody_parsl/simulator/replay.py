"""Plays a trace through the pilot's core; workers start in no time, and nothing fails."""

import heapq
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import msgspec

from rhapsody_parsl.annotations.task_spec import TaskSpec
from rhapsody_parsl.errors import UnroutableTask
from rhapsody_parsl.pilot.core import Core
from rhapsody_parsl.pilot.instructions import (
    CancelTasks,
    DiscardResults,
    EndRun,
    Feed,
    Fit,
    Grant,
    Instruction,
    StartRuntime,
)
from rhapsody_parsl.pilot.ledger import Ledger
from rhapsody_parsl.pilot.runs import Runs
from rhapsody_parsl.runtimes.protocol import Node, Run
from rhapsody_parsl.scheduling.forecast import Forecast, SimulatedTask, Waits
from rhapsody_parsl.scheduling.protocol import Scheduling
from rhapsody_parsl.scheduling.trace import TracedTask
from rhapsody_parsl.wire.failures import from_wire
from rhapsody_parsl.wire.messages import FAILED, RESULT, Result, Task
from rhapsody_parsl.wire.reports import NodeFacts

__all__ = ("replay",)

Asked = Sequence[tuple[TracedTask, TaskSpec, bytes]]
"""Tasks with their checked specifications, and these as bytes."""
_NOTHING = b""


class _Anything:
    """A runtime that takes all: what each takes was checked before."""

    def refuse(self, spec: TaskSpec) -> str:
        return ""


class _Usage:
    """How many cores are lent while tasks wait."""

    def __init__(self, cores: int) -> None:
        self._cores, self._at = cores, 0.0
        self.waiting = self.lent = 0
        self._used = self._could = 0.0

    def until(self, now: float) -> None:
        """Time passes."""
        if self.waiting:
            self._used += (now - self._at) * self.lent
            self._could += (now - self._at) * self._cores
        self._at = now

    @property
    def part(self) -> float:
        """Of the cores, while tasks waited."""
        return self._used / self._could if self._could else 1.0


class _Replay:
    """One trace in one block."""

    def __init__(self, asked: Asked, nodes: Sequence[Node], default: str, scheduling: Scheduling) -> None:
        self._asked = asked
        names = {spec.runtime or default for _, spec, _ in asked}
        ledger = Ledger(nodes)
        self._core = Core(Runs(ledger), dict.fromkeys(names, _Anything()), default, {}, scheduling=scheduling)
        self._usage = _Usage(ledger.cores)
        self._arrivals = sorted(range(len(asked)), key=lambda number: asked[number][0].submitted)
        self._ends: list[tuple[float, int, Run]] = []
        self._behind: dict[int, deque[int]] = {}  # in each run, tasks that have not begun
        self._at_work: set[int] = set()  # runs in which one has
        self._done: dict[int, SimulatedTask] = {}
        self._tick_at = math.inf

    def run(self) -> Forecast:
        """Play it to its end."""
        now = 0.0
        for now, event in self._events():
            self._usage.until(now)
            event()
            self._follow(now)
            due = self._core.next_tick(now)
            self._tick_at = math.inf if due is None else now + due
        tasks = tuple(self._done[number] for number in range(len(self._asked)))
        waits = Waits.of([task.wait for task in tasks])
        last = max((task.ended for task in tasks), default=0.0)
        return Forecast(tasks=tasks, waits=waits, utilisation=self._usage.part, seconds=last)

    def _events(self) -> Iterator[tuple[float, Callable[[], None]]]:
        """Yield what happens next, and when: a task comes, one ends, or the core wants to look."""
        coming = 0
        while coming < len(self._arrivals) or self._ends:
            more = coming < len(self._arrivals)
            arrival = self._asked[self._arrivals[coming]][0].submitted if more else math.inf
            end = self._ends[0][0] if self._ends else math.inf
            if self._tick_at < min(arrival, end):
                yield self._tick_at, partial(self._core.tick, self._tick_at)
            elif arrival <= end:
                first = coming
                while coming < len(self._arrivals) and self._submitted(coming) == arrival:
                    coming += 1
                yield arrival, partial(self._come, self._arrivals[first:coming], arrival)
            else:
                _, task, run = heapq.heappop(self._ends)
                yield end, partial(self._end, run, task, end)

    def _submitted(self, place: int) -> float:
        return self._asked[self._arrivals[place]][0].submitted

    def _come(self, numbers: Sequence[int], now: float) -> None:
        self._usage.waiting += len(numbers)
        self._core.submit([Task(number, self._asked[number][2], _NOTHING) for number in numbers], now)

    def _end(self, run: Run, task: int, now: float) -> None:
        self._usage.lent -= self._done[task].cores
        self._at_work.discard(run.id)
        self._core.done(run.id, [Result(task, RESULT, _NOTHING, self._asked[task][0].seconds)], now)
        self._begin(run, now)

    def _follow(self, now: float) -> None:
        """Do what the core wants.

        Raises:
            RhapsodyError: A task can never run in the block.
        """
        while given := self._core.take():
            for instruction in given:
                self._perform(instruction, now)
        for result in self._core.take_results()[0]:
            if result.kind == FAILED and isinstance(result.payload, bytes):
                raise self._refused(result.id, from_wire(*msgspec.msgpack.decode(result.payload)))

    def _refused(self, task: int, error: Exception) -> Exception:
        if not isinstance(error, UnroutableTask) or error.key != "resources":
            return error
        which = f"task {task + 1} of the trace, {self._asked[task][0].name!r}"
        return UnroutableTask(error.key, which, error.problem, "Simulate a larger block (nodes=...), or leave it out")

    def _perform(self, instruction: Instruction, now: float) -> None:
        match instruction:
            case StartRuntime(name=name):
                self._core.runtime_ready(name, now)
            case Feed(run=run, tasks=tasks):
                self._behind.setdefault(run.id, deque()).extend(task.id for task in tasks)
                self._begin(run, now)
            case CancelTasks(run=run, tasks=tasks, kill=False):
                behind = self._behind[run.id]
                back = [task for task in tasks if task in behind]
                self._behind[run.id] = deque(task for task in behind if task not in back)
                self._core.returned(run.id, back, now)
            case EndRun(run=run):
                self._behind.pop(run.id, None)
            case CancelTasks() | DiscardResults() | Fit() | Grant():
                pass  # a task that is killed at its walltime ends in this moment anyway

    def _begin(self, run: Run, now: float) -> None:
        """A run begins the next task that it was given, when it has ended the one before."""
        behind = self._behind.get(run.id)
        if not behind or run.id in self._at_work:
            return
        task = behind.popleft()
        traced, cores = self._asked[task][0], sum(len(placed.share.cores) for placed in run.placed)
        self._at_work.add(run.id)
        self._usage.waiting -= 1
        self._usage.lent += cores
        self._done[task] = SimulatedTask(
            name=traced.name,
            submitted=traced.submitted,
            started=now,
            ended=now + traced.seconds,
            nodes=tuple(placed.node.name for placed in run.placed),
            cores=cores,
        )
        heapq.heappush(self._ends, (now + traced.seconds, task, run))


def replay(asked: Asked, nodes: Sequence[NodeFacts], default_runtime: str, scheduling: Scheduling) -> Forecast:
    """Return how the tasks of a trace would run.

    Args:
        asked: The tasks.
        nodes: What the block has.
        default_runtime: For tasks that name none.
        scheduling: The order of those that wait.

    Raises:
        RhapsodyError: A task can never run in the block.
    """
    return _Replay(asked, [_node(facts) for facts in nodes], default_runtime, scheduling).run()


def _node(facts: NodeFacts) -> Node:
    cores = tuple(range(facts.cores))
    gpus = tuple(map(str, range(math.ceil(facts.gpus))))
    return Node(
        name=facts.name,
        host=facts.name,
        cores=cores,
        real_cores=cores,
        gpus=gpus,
        memory=facts.memory,
        labels=tuple(sorted(facts.labels)),
    )
