"""A block without processes: the pilot's core over fake runtimes, on a simulated clock.

What happens on it is checked as it happens: no two runs or services hold one core, no node lends more memory than it
has, a task never gets less than it asks for, a run is ended once and with nothing in flight, and no task starts twice
unasked.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from rhapsody_parsl.annotations.task_spec import TaskSpec, decode_spec
from rhapsody_parsl.errors import BackendFailed, MemoryExceeded, RhapsodyError, WorkerLost
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
from rhapsody_parsl.runtimes.protocol import Node, Placed, Run
from rhapsody_parsl.wire.failures import from_wire
from rhapsody_parsl.wire.messages import FAILED, LOST, RESULT, Result, Task, failed
from rhapsody_parsl.wire.piece_messages import Piece
from rhapsody_parsl.wire.times import TaskTimes
from testing.clock import Clock
from testing.nodes import make_spec, make_task

WORKER_START = 0.5


class FakeRuntime:
    """The part of a runtime that the router asks."""

    def __init__(self, refusal: str = "") -> None:
        self.refusal = refusal

    def refuse(self, spec: TaskSpec) -> str:
        return self.refusal


class FakeWorker:
    """One run's process: takes tasks one after the other."""

    def __init__(self, run: Run) -> None:
        self.run, self.placed = run, run.placed
        self.queue: list[Task] = []
        self.current: Task | None = None
        self.alive = True


class Simulation:
    """A block.

    Attributes:
        seconds: How long a task takes, by number; default 1.
        deadly: Tasks that kill their worker when they would end, each as often as the number says.
        fragile: Tasks whose own fresh process dies when they would end, each as often as the number says.
        greedy: Tasks that exceed their memory when half done.
        ended: Results by task; `ended_at` has the times.
        started: Times at which tasks began.
        stillborn: Whether a worker that is started now ends before it is ready.
        never_up_again: Whether such a worker's tasks may go to another one.
        starts: Times at which workers were started.
        begun_on: Nodes of the run in which a task last began.
        times: When what befell the tasks that have ended, by number.
        late: Tasks that were taken out because they would not end before the block.
        offspring: Which tasks a task submits when it begins, and whether these live on when it ends.
        answered: How often a process was told of the end of what it had submitted, by its number for that.
        gave: Pieces of tasks, one at each beginning and one at each end, until somebody takes them.
        turn: For so many seconds after a decision there is no other one, as in a turn of a busy pilot's loop.
    """

    def __init__(
        self,
        nodes: Iterable[Node],
        runtimes: Mapping[str, FakeRuntime] | None = None,
        clock: Clock | None = None,
        **options: Any,
    ) -> None:
        self.clock = clock or Clock()
        self.runtimes = dict(runtimes or {"local": FakeRuntime()})
        default = options.pop("default", next(iter(self.runtimes)))
        self.failing: dict[str, RhapsodyError] = options.pop("failing", {})
        windows = options.pop("windows", {})
        self.under_way = Runs(Ledger(nodes), lambda: self.now, options.pop("max_launches", 0))
        self.core = Core(self.under_way, self.runtimes, default, windows, **options)
        self.seconds: dict[int, float] = {}
        self.deadly: dict[int, int] = {}
        self.fragile: Counter[int] = Counter()
        self.greedy: set[int] = set()
        self.ended: dict[int, Result] = {}
        self.ended_at: dict[int, float] = {}
        self.started: dict[int, list[float]] = {}
        self.begun_on: dict[int, list[str]] = {}
        self.stillborn: Callable[[], bool] = lambda: False
        self.never_up_again = True
        self.starts: list[float] = []
        self.late: list[int] = []
        self.gave: list[Piece] = []
        self.records: list[Any] = []
        self.times: dict[int, TaskTimes] = {}
        self.offspring: dict[int, tuple[list[TaskSpec], bool]] = {}
        self.answered: Counter[int] = Counter()
        self._born = 0
        self._workers: dict[int, FakeWorker] = {}
        self._services: dict[str, tuple[Placed, ...]] = {}
        self._frozen_until = self.turn = 0.0
        self._in_turn = self._turn_over = False

    @property
    def now(self) -> float:
        return self.clock.now

    def at(self, when: float, action: Callable[[], None]) -> None:
        def happen() -> None:
            if self.now < self._frozen_until:
                self.clock.at(self._frozen_until, happen)
            else:
                action()

        self.clock.at(when, happen)

    def submit(self, spec: TaskSpec, *numbers: int, when: float = 0.0) -> None:
        tasks = [make_task(number, spec) for number in numbers]
        self.at(when, lambda: self.core.submit(tasks, self.now))

    def cancel(self, *numbers: int, when: float) -> None:
        self.at(when, lambda: self.core.cancel(numbers, self.now))

    def lose_node(self, name: str) -> None:
        """A node dies: its workers end without a word, those of its gangs elsewhere when told to."""
        self.core.node_lost(name, "power", self.now)
        for worker in list(self._workers.values()):
            if {placed.node.name for placed in worker.run.placed} == {name}:
                self._die(worker, "its host is lost")

    def end(self) -> None:
        """All workers end, and nobody is told."""
        for worker in self._workers.values():
            worker.alive = False
        self._workers.clear()

    def freeze(self, until: float) -> None:
        """Nothing of the block happens before that time; workers that end meanwhile are heard then."""
        self._frozen_until = until

    def run(self, until: float = 1e9, most: int = 60_000) -> None:
        """Go on until nothing happens any more."""
        for _ in range(most):
            tick = self.core.next_tick(self.now)
            if not self.clock.step(None if tick is None else self.now + tick, self._tick, until):
                return
            self._perform()
        raise AssertionError(f"after {most} steps the block is still busy")

    def _tick(self) -> None:
        self.core.tick(self.now)

    def _end_turn(self) -> None:
        self._in_turn, self._turn_over = False, True

    def _perform(self) -> None:
        self.core.end_orphans(self.now)
        decided = self._in_turn
        if self.turn and not (self._in_turn or self._turn_over):
            self._in_turn = True
            self.clock.at(self.now + self.turn, self._end_turn)
        self._turn_over = False
        while instructions := self.core.take(decided=decided):
            for instruction in instructions:
                self._follow(instruction)
        self.late += self.core.take_late()
        results, records, times = self.core.take_results()
        self.records += records
        self.times.update(zip((result.id for result in results), times, strict=True))
        for result in results:
            assert result.id not in self.ended, f"task {result.id} ended twice"
            self.ended[result.id] = result
            self.ended_at[result.id] = self.now
        for parent, answers in self.core.family.take_answers().items():
            assert self.core.state_of(parent) != "unknown", f"{parent} has ended, and is told of {answers}"  # type: ignore[arg-type]  # a number here
            self.answered.update(result.id for result in answers)
            assert self.answered.most_common(1)[0][1] == 1, f"{self.answered} were told twice"
        self.core.family.take_unread()

    def _submit_from(self, parent: int) -> None:
        """A task submits tasks."""
        specs, keep = self.offspring[parent]
        tasks = [make_task(self._born + number, spec) for number, spec in enumerate(specs)]
        self._born += len(tasks)
        self.core.adopt(parent, parent, tasks, keep, now=self.now)

    def _follow(self, instruction: Instruction) -> None:
        match instruction:
            case Feed(run=run, tasks=tasks):
                self._feed(run, tasks)
            case EndRun(run=run):
                self._end(run)
            case CancelTasks(run=run, tasks=numbers, kill=kill):
                self._cancel(run, numbers, kill)
            case StartRuntime(name=name):
                self._start(name)
            case Grant(granted=granted, loan=loan):
                granted(loan)
            case DiscardResults() | Fit():
                pass  # these workers write no results, and nobody watches their memory

    def _start(self, name: str) -> None:
        error = self.failing.get(name)
        if error:
            self.at(self.now + WORKER_START, lambda: self.core.runtime_failed(name, error, self.now))
        else:
            self.at(self.now + WORKER_START, lambda: self.core.runtime_ready(name, self.now))

    def _feed(self, run: Run, tasks: list[Task]) -> None:
        worker = self._workers.get(run.id)
        if worker is None:
            self._check_disjoint(run)
            worker = self._workers[run.id] = FakeWorker(run)
            self.starts.append(self.now)
            if self.stillborn():
                numbers = [task.id for task in tasks]
                self.at(self.now + WORKER_START, lambda: self._never_up(run, numbers))
                return
        if run.placed is not worker.placed:
            worker.placed = run.placed
            self._check_disjoint(run)
        self._check_fits(run, tasks)
        worker.queue += tasks
        if worker.current is None:
            self._next(worker)

    def _never_up(self, run: Run, tasks: list[int]) -> None:
        self._workers.pop(run.id)
        untouched = tasks if self.never_up_again else ()
        self.core.lost(run.id, BackendFailed("a worker", "no process more"), untouched, self.now)

    def hold(self, service: str, placed: tuple[Placed, ...]) -> None:
        """A service uses these, and nothing else any more; its GPUs are whole ones."""
        self._services[service] = placed
        mine = _used(placed)
        for worker in self._workers.values():
            assert not mine & _used(worker.run.placed), f"{service} and run {worker.run.id} share {mine}"
        for other, theirs in self._services.items():
            assert other == service or not mine & _used(theirs), f"{service} and {other} share {mine}"

    def _check_disjoint(self, run: Run) -> None:
        for service, held in self._services.items():
            assert not _used(run.placed) & _used(held), f"run {run.id} and {service} share {held}"
        mine = {(p.share.node, core) for p in run.placed for core in p.share.cores}
        for other in [worker for worker in self._workers.values() if worker.run is not run]:
            theirs = {(p.share.node, core) for p in other.run.placed for core in p.share.cores}
            assert not mine & theirs, f"runs {run.id} and {other.run.id} share {mine & theirs}"

    def _check_fits(self, run: Run, tasks: list[Task]) -> None:
        specs = [decode_spec(task.spec) for task in tasks]
        held: Counter[str] = Counter()
        for worker in self._workers.values():
            held.update({placed.node.name: placed.share.memory for placed in worker.run.placed})
        for placed in run.placed:
            assert held[placed.node.name] <= placed.node.memory + 1e-6, f"{placed.node.name} lends {held} GB"
            most = max(spec.resources.memory for spec in specs)
            assert most <= placed.share.memory + 1e-6, f"run {run.id} holds too little for one of {tasks}"
            if not specs[0].resources.is_mpi and specs[0].policy.placement != "exclusive":
                asked = {spec.resources.cores for spec in specs}
                assert asked == {len(placed.share.cores)}, f"run {run.id} holds {placed.share.cores} for {asked} cores"

    def _next(self, worker: FakeWorker) -> None:
        if not worker.alive or not worker.queue:
            worker.current = None
            return
        task = worker.current = worker.queue.pop(0)
        self.started.setdefault(task.id, []).append(self.now)
        self.gave.append(Piece(task.id, 0, b""))
        self.begun_on[task.id] = [placed.node.name for placed in worker.run.placed]
        self.at(self.now + self.seconds.get(task.id, 1.0), lambda: self._finish(worker, task))
        if task.id in self.offspring:
            self.at(self.now, lambda: self._submit_from(task.id))
        if task.id in self.greedy:
            self.at(self.now + self.seconds.get(task.id, 1.0) / 2, lambda: self._exceed(worker, task))

    def _finish(self, worker: FakeWorker, task: Task) -> None:
        if not worker.alive or worker.current is not task:
            return
        if self.deadly.get(task.id, 0) > 0:
            self.deadly[task.id] -= 1
            self._die(worker, "it was ended by signal 9")
            return
        worker.current = None
        self.gave.append(Piece(task.id, 1, b""))
        result = Result(task.id, RESULT, b"", self.seconds.get(task.id, 1.0))
        if self.fragile[task.id] > 0:
            self.fragile[task.id] -= 1
            result = msgspec.structs.replace(failed(task.id, WorkerLost("fresh", "it was killed")), kind=LOST)
        self.core.done(worker.run.id, [result], self.now)
        self._perform()
        if worker.current is None:
            self._next(worker)

    def _exceed(self, worker: FakeWorker, task: Task) -> None:
        if worker.alive and worker.current is task:
            self.core.memory_exceeded(worker.run.id, MemoryExceeded(1.0, 1.1, "fake"))

    def _die(self, worker: FakeWorker, reason: str) -> None:
        worker.alive = False
        self._workers.pop(worker.run.id, None)
        untouched = [task.id for task in worker.queue]
        self.core.lost(worker.run.id, WorkerLost("fake", reason), untouched, self.now)

    def _cancel(self, run: Run, numbers: list[int], kill: bool) -> None:
        worker = self._workers.get(run.id)
        if worker is None:
            return
        running = worker.current is not None and worker.current.id in numbers
        back = [task.id for task in worker.queue if task.id in numbers]
        worker.queue = [task for task in worker.queue if task.id not in back]
        self.at(self.now, lambda: self.core.returned(run.id, back, self.now))
        if kill and running:
            self.at(self.now, lambda: self._die(worker, "told to") if worker.alive else None)

    def _end(self, run: Run) -> None:
        worker = self._workers.pop(run.id, None)
        if worker is not None:
            assert worker.current is None, f"run {run.id} was ended with task {worker.current} in flight"
            assert not worker.queue, f"run {run.id} was ended with {worker.queue} behind"


def _used(placed: tuple[Placed, ...]) -> set[tuple[str, str, int]]:
    """Return cores and GPUs."""
    cores = {(part.share.node, "core", core) for part in placed for core in part.share.cores}
    return cores | {(part.share.node, "gpu", gpu) for part in placed for gpu in part.share.gpus}


def error_of(result: Result) -> RhapsodyError:
    assert result.kind == FAILED
    assert isinstance(result.payload, bytes)
    return from_wire(*msgspec.msgpack.decode(result.payload))


def kinds(block: Simulation) -> dict[int, str]:
    return {
        number: "ok" if result.kind == RESULT else type(error_of(result)).__name__
        for number, result in sorted(block.ended.items())
    }


def short_apps(block: Simulation, *numbers: int, when: float, name: str = "short", **keys: Any) -> None:
    block.seconds.update(dict.fromkeys(numbers, 0.001))
    block.submit(make_spec(name, **keys), *numbers, when=when)
