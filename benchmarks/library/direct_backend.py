"""A Dragon backend driven directly, with no pilot: what the pilot's own cost is measured against."""

import asyncio
import os
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from parsl.serialize import pack_apply_message

from rhapsody_parsl.annotations.task_spec import TaskSpec, encode_spec
from rhapsody_parsl.cluster.listed import Listed
from rhapsody_parsl.config import BlockConfig, DragonRuntime
from rhapsody_parsl.errors import RhapsodyError
from rhapsody_parsl.hosts import probe
from rhapsody_parsl.pilot.inventory import make_nodes
from rhapsody_parsl.runtimes.dragon.runtime import Dragon
from rhapsody_parsl.runtimes.protocol import Context, Placed, Run
from rhapsody_parsl.wire.leases import Share
from rhapsody_parsl.wire.messages import RESULT, Result, Task
from rhapsody_parsl.wire.reports import ServiceReport
from rhapsody_parsl.wire.states import RuntimeState

AHEAD = 64
"""Tasks with a worker; as many as the pilot puts there when they are short."""
WORKERS = 2


def no_op(number: int) -> int:
    """Do nothing."""
    return number


class DirectBackend:
    """Two workers that are fed by hand: the pilot's ear, and no more of a pilot.

    Args:
        folder: Private, and short.
    """

    def __init__(self, folder: Path) -> None:
        config = BlockConfig(
            label="x", addresses=(), runtimes=(DragonRuntime(),), default_runtime="dragon", logs="", cores_per_node=2
        )
        here = Listed(socket.gethostname())
        nodes = {node.name: node for node in make_nodes(config, [here], {here.name: probe.facts(os.environ)})}
        (head,) = nodes
        self._runtime = Dragon(
            DragonRuntime(),
            Context(
                nodes=nodes, head=head, folder=folder, logs=folder, python=sys.executable, environment={}, events=self
            ),
        )
        spec = TaskSpec(name="no_op")
        self._encoded = encode_spec(spec)
        parts = [(Placed(nodes[head], Share(head, (core,))),) for core in range(WORKERS)]
        self._runs = {number: Run(number, spec, placed) for number, placed in enumerate(parts)}
        self._waiting: list[Task] = []
        self._missing = 0
        self._over = asyncio.Event()

    async def start(self) -> None:
        """Start both workers, warm."""
        await self._runtime.start()
        await self._run(self._tasks(WORKERS))

    async def rate(self, count: int) -> tuple[float, float]:
        """Run no-ops; return wall and own CPU seconds a task."""
        tasks = self._tasks(count)
        wall, own = time.perf_counter(), time.process_time()
        await self._run(tasks)
        return (time.perf_counter() - wall) / count, (time.process_time() - own) / count

    async def stop(self) -> None:
        """End the workers."""
        for run in self._runs.values():
            self._runtime.end(run)
        await self._runtime.stop()

    def _tasks(self, count: int) -> list[Task]:
        return [Task(number, self._encoded, pack_apply_message(no_op, (number,), {})) for number in range(count)]

    async def _run(self, tasks: list[Task]) -> None:
        self._waiting, self._missing = tasks[::-1], len(tasks)
        self._over.clear()
        share = min(AHEAD, len(tasks) // WORKERS)
        for run in self._runs:
            self._feed(run, share)
        await self._over.wait()

    def _feed(self, run: int, count: int) -> None:
        batch = [self._waiting.pop() for _ in range(min(count, len(self._waiting)))]
        if batch:
            self._runtime.run(self._runs[run], batch)

    # --- what the runtime tells (the `Events` protocol) ----------------------------------------------------------

    def done(self, run: int, results: Sequence[Result]) -> None:
        """Put as many tasks behind as have ended."""
        if any(result.kind != RESULT for result in results):
            raise ValueError("a task failed: no number counts")
        self._missing -= len(results)
        self._feed(run, len(results))
        if not self._missing:
            self._over.set()

    def returned(self, run: int, tasks: Sequence[int]) -> None:
        """Nothing is asked back."""

    def lost(self, run: int, error: RhapsodyError, untouched: Sequence[int] = ()) -> None:
        """No number counts then."""
        raise error

    def pieces(self, run: int, pieces: object, more: object) -> None:
        """There are none."""

    def at_work(self, run: Run, host: str, pids: Mapping[str, int], on_exceeded: object = None) -> None:
        """Nobody looks."""

    def at_rest(self, run: int) -> None:
        """Nothing is limited here."""

    def state(self, runtime: str, state: RuntimeState, detail: str = "") -> None:
        """Nobody looks."""

    def services(self, services: Sequence[ServiceReport]) -> None:
        """There are none."""


def measure(count: int) -> Iterator[tuple[float, float]]:
    """Yield wall and own CPU seconds a task, again and again."""
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner() as runner:

        async def made() -> DirectBackend:
            return DirectBackend(Path(folder))

        backend = runner.run(made())
        runner.run(backend.start())
        try:
            while True:
                yield runner.run(backend.rate(count))
        finally:
            runner.run(backend.stop())
