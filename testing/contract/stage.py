"""A small block on this host, which drives one runtime as the pilot does, and a test reads what came of it."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Coroutine
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import psutil

from rhapsody_parsl.annotations.task_spec import TaskSpec, encode_spec
from rhapsody_parsl.errors import RhapsodyError
from rhapsody_parsl.hosts import folder
from rhapsody_parsl.hosts.environment import put
from rhapsody_parsl.hosts.probe import our_cores
from rhapsody_parsl.payload import open_result, pack_call
from rhapsody_parsl.runtimes.protocol import Context, Node, Placed, Run, Runtime
from rhapsody_parsl.wire.failures import from_wire
from rhapsody_parsl.wire.leases import Share
from rhapsody_parsl.wire.messages import FAILED, RESULT, Result, Task
from rhapsody_parsl.wire.shared_memory import SharedMemory, block_folder, discard, opened
from testing.contract.recorder import Recorder, Told
from testing.contract.subjects import Factory, Subject
from testing.leases import FakeLeases
from testing.nodes import make_spec
from testing.processes import below, command_of

__all__ = ("Stage",)

T = TypeVar("T")

CORES = 5
"""Declared: two runs of two, and a service's; several lie on one real core where there are fewer."""
PATIENCE = 20.0
_tasks, _runs = count(1), count(1)


class Stage:
    """A runtime and its block; close it, or use it as a context.

    The event loop turns only while a method of this class waits.

    Args:
        subject: What is staged.
        logs: Folder for its log files.
        make: Another factory than the subject's.

    Attributes:
        recorder: What the runtime has told.
        folder: The block's private one.
        host: The name of this host in the block.
        runtime: The runtime; not started.
    """

    def __init__(self, subject: Subject, logs: Path, make: Factory | None = None) -> None:
        self.subject, self.recorder, self.host = subject, Recorder(), socket.gethostname()
        self._runner = asyncio.Runner()
        self._loop = self._runner.get_loop()
        self._loop.set_exception_handler(self._broke)
        self.folder = Path(folder.make_for_sockets())
        put(str(self.folder), os.environ)
        self._shared = SharedMemory()
        real = our_cores()
        cores = tuple(range(CORES))
        self._node = Node(
            name="n0",
            host=self.host,
            cores=cores,
            real_cores=tuple(real[core % len(real)] for core in cores),
            memory=64,
        )
        self._free = set(cores)
        self._specs: dict[int, TaskSpec] = {}
        self._context = Context(
            nodes={"n0": self._node},
            head="n0",
            folder=self.folder,
            logs=logs,
            python=sys.executable,
            environment={},
            events=self.recorder,
            shared_folder=block_folder(self._shared.path, "0"),
        )
        leases = FakeLeases(lambda _, wants, __: self._lend(wants))
        self.runtime: Runtime = self._in_loop(lambda: (make or subject.make)(self._context, leases))

    def __enter__(self) -> "Stage":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the runtime, then take the block down; raises what there is left to complain of."""
        try:
            self.stop()
        finally:
            self._runner.close()
            self._shared.close()
            held = folder.hold(str(self.folder))
            shutil.rmtree(self.folder)
            os.close(held)

    # --- what the pilot does ---------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the runtime, and say what the pilot says around that."""
        name = self.runtime.name
        self.recorder.state(name, "starting")
        try:
            self._drive(_in_time(self.runtime.start()))
        except RhapsodyError as error:
            self.recorder.state(name, "failed", str(error))
            raise
        self.recorder.state(name, "ready")
        self.recorder.check()

    def start_again(self) -> None:
        """Call `start` of one that has started."""
        self._drive(_in_time(self.runtime.start()))
        self.recorder.check()

    def leave_while_starting(self, seconds: float) -> None:
        """Have a start that is under way cancelled, as by a block that is to end."""

        async def start_in_part() -> None:
            starting = asyncio.create_task(self.runtime.start())
            await asyncio.sleep(seconds)
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)

        self._drive(start_in_part())

    def stop(self) -> None:
        """Stop the runtime; it must tell nothing afterwards."""
        self._drive(_in_time(self.runtime.stop()))
        self.recorder.stopped()
        self._drive(asyncio.sleep(0.05))
        self.recorder.check()

    def spec(self, **keys: Any) -> TaskSpec:
        """Return what the subject's tasks ask for, with further keys."""
        return make_spec("contract", comm=self.subject.comm, **{**self.subject.keys, **keys})

    def foreign(self) -> TaskSpec:
        """Return what the runtime is to refuse."""
        return make_spec("contract", **self.subject.refused)

    def task(self, function: Callable[..., Any], *args: Any) -> Task:
        """Return a call as a task."""
        return Task(next(_tasks), encode_spec(self.spec()), pack_call(function, args, {}))

    def begin(self, *tasks: Task, **keys: Any) -> Run:
        """Give tasks to a new run, with a lease when the runtime's tasks take one."""
        spec = self.spec(**keys)
        run = Run(next(_runs), spec, () if spec.service else self._lend(spec))
        self.feed(run, *tasks)
        return run

    def feed(self, run: Run, *tasks: Task) -> None:
        """Give tasks to a run."""
        self.recorder.given(run.id, [task.id for task in tasks])
        self._call("run", lambda: self.runtime.run(run, tasks))

    def cancel(self, run: Run, *tasks: Task, kill: bool = False) -> None:
        """Take tasks back."""
        ids = [task.id for task in tasks]
        self._call("cancel", lambda: self.runtime.cancel(run, ids, kill))

    def end(self, run: Run) -> None:
        """End a run of which all was told, be it because it was lost."""
        self.recorder.ended(run.id)
        self._call("end", lambda: self.runtime.end(run))
        self._free.update(core for placed in run.placed for core in placed.share.cores)

    def kill(self, pid: int) -> None:
        """Kill a process of the runtime's."""
        os.kill(pid, signal.SIGKILL)

    def kill_backend(self) -> None:
        """Kill what the runtime, or a service, stands on; not the guards over it."""
        found = [each for each in below(self.subject.backend) if "guard.py" not in command_of(each)]
        assert found, "there is no such process"
        for each in found:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()

    # --- what a test reads -----------------------------------------------------------------------------------------

    def until(self, condition: Callable[[], T], seconds: float = PATIENCE) -> T:
        """Let the loop turn until the condition is true; return what it is."""
        return self._drive(self._until(condition, seconds))

    def over(self, run: Run) -> None:
        """Wait until all of a run was told, and end it."""
        self.until(lambda: not self.recorder.open_of(run.id))
        self.end(run)

    def told(self, task: Task) -> Told:
        """Wait until it was told what became of a task."""
        self.until(lambda: task.id in self.recorder.told)
        return self.recorder.told[task.id]

    def value(self, task: Task) -> Any:
        """Return a task's value; its file, if it has one, is removed."""
        result = self.result(task)
        assert result.kind == RESULT, self.error(task)
        value = open_result(opened(result))
        discard(result)
        return value

    def result(self, task: Task) -> Result:
        """Return the result of a task that is done."""
        told = self.told(task)
        assert isinstance(told.what, Result), told
        return told.what

    def error(self, task: Task) -> RhapsodyError:
        """Return what a task was lost with, or failed with by the runtime's doing."""
        what = self.told(task).what
        if isinstance(what, Result):
            assert what.kind == FAILED, what
            assert isinstance(what.payload, bytes)
            return from_wire(*msgspec.msgpack.decode(what.payload))
        assert isinstance(what, RhapsodyError), what
        return what

    def ask(self, *tasks: Task, **keys: Any) -> list[Any]:
        """Give tasks to a run of their own; return their values once that is over."""
        run = self.begin(*tasks, **keys)
        self.over(run)
        return [self.value(task) for task in tasks]

    # --- inside ----------------------------------------------------------------------------------------------------

    def _call(self, name: str, call: Callable[[], None]) -> None:
        def called() -> None:
            with self.recorder.within(name):
                call()

        self._in_loop(called)
        self.recorder.check()

    def _in_loop(self, call: Callable[[], T]) -> T:
        async def called() -> T:
            return call()

        return self._drive(called())

    def _drive(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(coroutine)

    async def _until(self, condition: Callable[[], T], seconds: float) -> T:
        deadline = time.monotonic() + seconds
        while not (value := condition()):
            self.recorder.check()
            assert time.monotonic() < deadline, f"it did not come to that within {seconds:g} s: {self.recorder.calls}"
            await asyncio.sleep(0.005)
        self.recorder.check()
        return value

    def _lend(self, spec: TaskSpec) -> tuple[Placed, ...]:
        wants = spec.resources.part(spec.resources.num_ranks) if spec.resources.is_mpi else spec.resources.single()
        assert len(self._free) >= wants.cores, "a test asks for more than the block has"
        cores = tuple(sorted(self._free)[: wants.cores])
        self._free.difference_update(cores)
        return (Placed(self._node, Share("n0", cores, (), wants.memory), wants.ranks),)

    def _broke(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.recorder.complain(f"{context['message']}: {context.get('exception')!r}")


async def _in_time(coroutine: Coroutine[Any, Any, T]) -> T:
    async with asyncio.timeout(PATIENCE):
        return await coroutine
