"""A runtime of one's own in one module: each task in a plain subprocess, nice to others."""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import msgspec

from rhapsody_parsl import Part, RuntimeConfig, Takes
from rhapsody_parsl.annotations.task_spec import TaskSpec
from rhapsody_parsl.errors import WorkerLost
from rhapsody_parsl.hosts.process import Backend
from rhapsody_parsl.runtimes.deferred import Deferred
from rhapsody_parsl.runtimes.protocol import Context, Run
from rhapsody_parsl.wire.messages import Result, Task
from rhapsody_parsl.wire.shared_memory import opened


class SubprocessPool(RuntimeConfig, frozen=True, kw_only=True):
    """What users write in `runtimes=[...]`.

    Attributes:
        niceness: Of the tasks' processes.
    """

    name: ClassVar[str] = "subprocess_pool"
    takes: ClassVar[Takes] = Takes(single=True, gpus=False, hosts=False)
    implementation: ClassVar[str] = "add_a_runtime:Pool"
    niceness: int = 5


@dataclass(frozen=True)
class Subprocess(Part):
    """What users write in `@annotate(...)`."""

    runtime: ClassVar[str] = "subprocess_pool"
    cores: int | None = None


class Pool:
    """The half in the pilot: each task in a process, one after the other in each run."""

    name, eager = SubprocessPool.name, False

    def __init__(self, config: SubprocessPool, context: Context) -> None:
        self._config, self._context = config, context
        self._deferred = Deferred(context.events)  # what is told from within a call of the pilot's
        self._waiting: dict[int, deque[Task]] = {}  # by run
        self._running: dict[int, tuple[Task, Backend]] = {}
        self._at_work: dict[int, asyncio.Task[None]] = {}

    def refuse(self, spec: TaskSpec) -> str:
        """Refuse nothing that `takes` allows."""
        return "it has no ranks" if spec.resources.is_mpi else ""

    async def start(self) -> None:
        """Do nothing: processes start with the tasks."""

    def run(self, run: Run, tasks: Sequence[Task]) -> None:
        """Take tasks, also while others of the run are under way."""
        self._waiting.setdefault(run.id, deque()).extend(tasks)
        if run.id not in self._at_work:
            self._at_work[run.id] = asyncio.create_task(self._work(run))

    def end(self, run: Run) -> None:
        """Forget a run that has nothing to do."""
        self._waiting.pop(run.id, None)

    def cancel(self, run: Run, tasks: Sequence[int], kill: bool) -> None:
        """Return what waits, and kill what runs: `_work` will tell that it is lost."""
        waiting = self._waiting.get(run.id, deque())
        if back := [task for task in waiting if task.id in tasks]:
            for task in back:
                waiting.remove(task)
            self._deferred.returned(run.id, [task.id for task in back])
        running = self._running.get(run.id)
        if kill and running and running[0].id in tasks:
            running[1].give_up("it was killed")

    async def stop(self) -> None:
        """Kill everything."""
        for waiting in self._waiting.values():
            waiting.clear()
        await asyncio.gather(*(backend.stop() for _, backend in self._running.values()))
        await asyncio.gather(*self._at_work.values())

    async def _work(self, run: Run) -> None:
        """Run what waits, one after the other; with the loss of one the run is over."""
        waiting = self._waiting[run.id]
        while waiting:
            task = waiting.popleft()
            try:
                result = await self._in_a_process(run, task)
            except WorkerLost as lost:
                self._context.events.lost(run.id, lost, [each.id for each in waiting])
                waiting.clear()
            else:
                self._context.events.done(run.id, [result])
        del self._at_work[run.id]

    async def _in_a_process(self, run: Run, task: Task) -> Result:
        """Run one task under a guard, which kills all below it on request or if the pilot dies."""
        context, call = self._context, self._context.folder / f"{task.id}.call"
        answer, log = call.with_suffix(".answer"), context.logs / f"{self.name}-{task.id}.log"
        try:
            call.write_bytes(opened(task))
        except OSError as problem:
            raise WorkerLost(f"for task {task.id}", str(problem)) from problem
        program = [context.python, "-m", "rhapsody_parsl.worker.once", str(call), str(answer)]
        command = [*context.noting(run), *program]  # `noting` tells the process to the memory limit
        cores, nice = run.placed[0].real_cores, self._config.niceness
        backend = Backend(command, log, env=context.environment, cores=cores, nice=nice, grace=0.5)
        self._running[run.id] = task, backend
        await backend.start()
        context.events.at_work(run, context.own_host, {})
        why = await backend.wait()
        del self._running[run.id]
        call.unlink()
        if not answer.exists():
            raise WorkerLost(f"for task {task.id}", why, backend.log_tail())
        result = msgspec.msgpack.decode(answer.read_bytes(), type=Result)
        answer.unlink()
        return msgspec.structs.replace(result, id=task.id)
