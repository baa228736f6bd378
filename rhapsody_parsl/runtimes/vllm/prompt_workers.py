"""The bodies of request apps: user code, so it runs in workers of its own, the request workers."""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import islice, takewhile
from typing import Any, NamedTuple

import msgspec

from rhapsody_parsl.annotations.policy import PolicyValue
from rhapsody_parsl.annotations.task_spec import TaskSpec
from rhapsody_parsl.errors import BackendFailed, RhapsodyError
from rhapsody_parsl.in_block.gpus import shown_gpus
from rhapsody_parsl.runtimes.protocol import Context, Run
from rhapsody_parsl.runtimes.workers.local import LocalWorkers
from rhapsody_parsl.runtimes.workers.prefetch import Prefetch
from rhapsody_parsl.wire.messages import Result, Task
from rhapsody_parsl.wire.piece_messages import More, Piece
from rhapsody_parsl.wire.reports import ServiceReport
from rhapsody_parsl.wire.states import RuntimeState

__all__ = ("PromptWorkers",)


class _Body(NamedTuple):
    """A body, and where it runs.

    Attributes:
        task: Its task.
        setting: Its variables, its working directory, and whether it has a folder of its own.
    """

    task: Task
    setting: PolicyValue


class _Slot:
    """A request worker's place: a number, as that of a run, and the bodies it was given.

    Attributes:
        dropped: Those of the tasks that are to end, and with them the worker; the place gets no others then.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.bodies: dict[int, _Body] = {}
        self.dropped: set[int] = set()

    def run(self, setting: PolicyValue | None = None) -> Run:
        """Return it as a run, whose tasks are where the setting says."""
        return Run(self.number, TaskSpec(name="requests", runtime="vllm", policy=setting or PolicyValue()))


class PromptWorkers:
    """Runs bodies in a few workers; a worker holds about ten milliseconds of them, the rest waits here.

    Args:
        context: The block.
        workers: How many.
        on_results: Takes what bodies returned.
        on_lost: Takes the tasks that a lost worker had, and the reason.
    """

    def __init__(
        self,
        context: Context,
        workers: int,
        on_results: Callable[[Sequence[Result]], None],
        on_lost: Callable[[Sequence[int], RhapsodyError], None],
    ) -> None:
        self._on_results, self._on_lost = on_results, on_lost
        self._slots: dict[int, _Slot] = {}
        self._count = 0
        for _ in range(workers):
            self._open_slot()
        self._waiting: dict[int, _Body] = {}
        self._durations = Prefetch(least=1)
        private = msgspec.structs.replace(context, events=self)
        self._workers = LocalWorkers(private, "vllm")
        self._environment = shown_gpus(context.nodes[context.head], ())  # they lease none

    def start(self) -> None:
        """Open the workers' hub; idempotent."""
        self._workers.start()

    async def stop(self) -> None:
        """End the workers; idempotent."""
        await self._workers.stop()

    def put(self, tasks: Sequence[Task], policy: PolicyValue) -> None:
        """Run these.

        Args:
            tasks: Of one specification.
            policy: Its own.
        """
        setting = PolicyValue(env=policy.env, cwd=policy.cwd, sandbox=policy.sandbox)
        self._waiting.update((task.id, _Body(task, setting)) for task in tasks)
        self._feed()

    def drop(self, task: int) -> None:
        """Forget a task; if its body runs now, its worker ends with all that the body started."""
        if self._waiting.pop(task, None) is not None:
            return
        for slot in list(self._slots.values()):
            if task in slot.bodies:
                self._drop_from(slot, task)

    def _drop_from(self, slot: _Slot, task: int) -> None:
        slot.dropped.add(task)
        if len(slot.dropped) == 1:
            others = [other for other in slot.bodies if other != task]
            self._workers.pool.cancel(slot.run(), others, kill=False)  # not to be lost with the worker
            self._open_slot()
        self._workers.pool.cancel(slot.run(), [task], kill=True)

    # --- what the workers tell (the `Events` protocol; runs are slots) -------------------------------------------

    def done(self, run: int, results: Sequence[Result]) -> None:
        """Bodies ended."""
        slot = self._slots[run]
        for result in results:
            slot.bodies.pop(result.id, None)
            self._durations.learn(result.seconds)
        self._close_if_over(slot)
        self._on_results(results)
        self._feed()

    def returned(self, run: int, tasks: Sequence[int]) -> None:
        """A worker had not begun these."""
        slot = self._slots[run]
        returned = {task: slot.bodies.pop(task) for task in tasks if task in slot.bodies}
        self._put_back(slot, returned)
        self._close_if_over(slot)
        self._feed()

    def lost(self, run: int, error: RhapsodyError, untouched: Sequence[int] = ()) -> None:
        """A worker ended: what it had begun, or may have, is lost."""
        slot = self._slots[run]
        if isinstance(error, BackendFailed):
            untouched = ()  # a request worker that does not start is no reason to start others without an end
        gone = [task for task in slot.bodies if task not in untouched and task not in slot.dropped]
        self._put_back(slot, {number: body for number, body in slot.bodies.items() if number in untouched})
        slot.bodies.clear()
        if slot.dropped:
            del self._slots[run]
        if gone:
            self._on_lost(gone, error)
        self._feed()

    def pieces(self, run: int, pieces: Sequence[Piece], more: Callable[[More], None]) -> None:
        """Bodies have no pieces: what they return is one request."""

    def at_work(self, run: Run, host: str, pids: Mapping[str, int], on_exceeded: Any = None) -> None:
        """Request workers hold no lease, so nothing limits them."""

    def at_rest(self, run: int) -> None:
        """Nothing limits them."""

    def state(self, runtime: str, state: RuntimeState, detail: str = "") -> None:
        """Workers have no state of interest."""

    def services(self, services: Sequence[ServiceReport]) -> None:
        """Workers have no services."""

    # --- places --------------------------------------------------------------------------------------------------

    def _open_slot(self) -> None:
        self._count += 1
        self._slots[self._count] = _Slot(self._count)

    def _close_if_over(self, slot: _Slot) -> None:
        """The task that was dropped ended before its worker could: the worker is free for another place."""
        if slot.dropped and not slot.bodies:
            del self._slots[slot.number]
            self._workers.pool.end(slot.run())

    def _put_back(self, slot: _Slot, bodies: dict[int, _Body]) -> None:
        wanted = {number: body for number, body in bodies.items() if number not in slot.dropped}
        self._waiting = {**wanted, **self._waiting}

    # --- feeding -------------------------------------------------------------------------------------------------

    def _feed(self) -> None:
        """Give each worker that runs low a fair part of what waits."""
        most = self._durations.count
        usable = [slot for slot in self._slots.values() if not slot.dropped]
        for slot in sorted(usable, key=lambda slot: len(slot.bodies)):
            if not self._waiting:
                return
            if len(slot.bodies) > most // 2:
                continue
            count = min(most - len(slot.bodies), math.ceil(len(self._waiting) / len(usable)))
            bodies = self._first(count)
            slot.bodies.update((body.task.id, body) for body in bodies)
            run, tasks = slot.run(bodies[0].setting), [body.task for body in bodies]
            self._workers.feed(run, tasks, "prompt", self._environment)

    def _first(self, most: int) -> list[_Body]:
        """Take the first that wait, as long as they run in one setting."""
        setting = next(iter(self._waiting.values())).setting
        alike = takewhile(lambda body: body.setting == setting, self._waiting.values())
        taken = list(islice(alike, most))
        for body in taken:
            del self._waiting[body.task.id]
        return taken
