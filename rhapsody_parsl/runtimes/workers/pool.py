"""Resident workers and the runs on them: the part that every runtime with workers shares.

A pool knows workers by name and runs by number. How a worker process comes to be is the business of its `starter`; that
one ended is told with `worker_exited`. One worker takes one run at a time.

CUDA and its like read once in a process which GPUs it may use, and a mere look that found none holds too. So a worker
serves only runs with the GPUs of its first one, which may be none.
"""

import asyncio
import math
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from functools import partial
from types import MappingProxyType

from rhapsody_parsl.annotations.task_spec import TaskSpec
from rhapsody_parsl.errors import BackendFailed, RhapsodyError, WorkerLost
from rhapsody_parsl.hosts.mark import NONE, mark_of, take
from rhapsody_parsl.in_block.exchange import Exchange
from rhapsody_parsl.in_block.gpus import shown_gpus
from rhapsody_parsl.in_block.setting import setting_of, variables_of
from rhapsody_parsl.runtimes.protocol import Context, Placed, Run
from rhapsody_parsl.wire.messages import (
    Done,
    FromBackend,
    Mode,
    Quit,
    Ready,
    Recall,
    Returned,
    Task,
    Work,
)
from rhapsody_parsl.wire.piece_messages import More, Pieces

__all__ = ("WorkerPool", "mode_of")

_NONE: Mapping[str, str] = MappingProxyType({})


def mode_of(spec: TaskSpec) -> Mode:
    """Return how a worker is to run a task that is one process."""
    if spec.policy.isolation == "process":
        return "process"
    return "together" if spec.policy.concurrency > 1 else "call"


class _Worker:
    """A worker process: where it is, what it works on and with, what it was given before it was up.

    Attributes:
        gpus: What its first run was shown of the host's GPUs, "" for none; None where nothing is shown or hidden.
        placed: The lease that `cores` and `environment` are for; a run may have another one when it is fed again.
    """

    __slots__ = (
        "cores", "environment", "gpus", "host", "late", "name", "pid", "placed", "run", "tasks", "up", "waiting",
    )  # fmt: skip

    def __init__(self, name: str, host: str, gpus: str | None) -> None:
        self.name, self.host, self.gpus = name, host, gpus
        self.up = False
        self.late: asyncio.TimerHandle | None = None
        self.pid = 0
        self.run: Run | None = None
        self.placed: tuple[Placed, ...] = ()
        self.cores: tuple[int, ...] = ()
        self.environment: Mapping[str, str] = _NONE
        self.tasks: tuple[int, ...] = ()  # a few, and the first one ends first: a dict would be four times as large
        self.waiting: tuple[Work | Recall | Quit | More, ...] = ()

    def forget(self, tasks: Sequence[int]) -> None:
        """It has these no more."""
        if self.tasks[: len(tasks)] == tuple(tasks):
            self.tasks = self.tasks[len(tasks) :]
        else:
            self.tasks = tuple(task for task in self.tasks if task not in tasks)


class WorkerPool:
    """Workers of one runtime.

    Args:
        context: The block.
        exchange: Speaks to the workers; what they say comes to `receive`.
        spawn: Starts a worker process: `(name, host)`; it will connect to the exchange under that name.
        abandon: Kills a worker that is not ready in time and returns the end of its log; None when its time has not
            begun, and it is to have as much again.
        prefix: What the workers' names begin with.
        startup_timeout: Seconds until a worker that is not ready is abandoned; infinite for never.
    """

    def __init__(
        self,
        context: Context,
        exchange: Exchange,
        *,
        spawn: Callable[[str, str], None],
        abandon: Callable[[str], str | None],
        prefix: str,
        startup_timeout: float,
    ) -> None:
        self._context = context
        self._events, self._environment, self._exchange = context.events, context.environment, exchange
        self._spawn, self._abandon, self._prefix = spawn, abandon, prefix
        self._startup_timeout = startup_timeout
        self._workers: dict[str, _Worker] = {}
        self._idle: dict[str, dict[str | None, list[_Worker]]] = {}  # by host, and by the GPUs they were shown
        self._by_run: dict[int, _Worker] = {}
        self._environments: dict[Hashable, tuple[str | None, Mapping[str, str]]] = {}
        self._count = 0

    @property
    def names(self) -> list[str]:
        """Names of all workers."""
        return list(self._workers)

    def host_of(self, name: str) -> str:
        """Return the host of a worker, "" when there is none of the name."""
        worker = self._workers.get(name)
        return worker.host if worker else ""

    def worker_of(self, run: int) -> str:
        """Return the name of the worker that has a run, "" when none has."""
        worker = self._by_run.get(run)
        return worker.name if worker else ""

    def on_hosts(self, hosts: Collection[str]) -> list[str]:
        """Return the names of the workers on some hosts."""
        return [worker.name for worker in self._workers.values() if worker.host in hosts]

    def receive(self, peer: str, message: FromBackend) -> bool:
        """Take a message of a worker; False when it is not one of ours."""
        worker = self._workers.get(peer)
        if worker is None:
            return False
        match message:
            case Ready(pid=pid):
                worker.pid = pid
                self._up(worker)
            case Done(run=run, results=results):
                worker.forget([result.id for result in results])
                self._events.done(run, results)
            case Returned(run=run, tasks=tasks):
                worker.forget(tasks)
                if tasks:  # else its run may be over
                    self._events.returned(run, tasks)
            case Pieces(run=run, pieces=pieces):
                self._events.pieces(run, pieces, partial(self._send, worker))
            case _:
                return False
        return True

    def feed(self, run: Run, tasks: Sequence[Task], mode: Mode, *, host: str, env: Mapping[str, str]) -> None:
        """Give tasks to the run's worker; a new run gets a fitting idle worker of the host, or a new one."""
        worker = self._by_run.get(run.id) or self._engage(run, host)
        if worker.placed is not run.placed:
            worker.placed, worker.cores = run.placed, _cores_on(run, host)
            _, worker.environment = self._shown(run.placed)
        worker.tasks += tuple([task.id for task in tasks])
        environment = {**self._environment, **worker.environment, **env, **variables_of(run)}
        number, at = self._context.notice(run)
        work = Work(
            run.id, mode, worker.cores, environment, list(tasks),
            memory=run.memory_on(host), signal=number, signal_at=at, setting=setting_of(self._context, run),
        )  # fmt: skip
        self._send(worker, work)

    def end(self, run: Run) -> None:
        """The run is over; its worker is idle."""
        worker = self._by_run.pop(run.id, None)
        if worker is not None:
            worker.run = None
            worker.tasks = ()
            self._idle.setdefault(worker.host, {}).setdefault(worker.gpus, []).append(worker)

    def cancel(self, run: Run, tasks: Sequence[int], kill: bool) -> None:
        """Ask the run's worker to give tasks back, or to end with those it has begun."""
        worker = self._by_run.get(run.id)
        if worker is not None:
            self._send(worker, Recall(run.id, list(tasks), kill))

    def worker_exited(self, name: str, error: RhapsodyError, begun: int | None = None) -> None:
        """A worker process ended: its run is lost, tasks it never received are untouched.

        Args:
            name: The worker's.
            error: What its tasks end with.
            begun: The task it began last, if it was on another host and that has told; else it is read here.
        """
        worker = self._workers.pop(name, None)
        if worker is None:
            return
        _disarm(worker)
        self._exchange.forget(name)
        idle = self._idle.get(worker.host, {}).get(worker.gpus, [])
        if worker in idle:
            idle.remove(worker)
        if worker.run is not None:
            self._by_run.pop(worker.run.id, None)
            last = self._last_begun(worker, begun)
            if last == NONE and not isinstance(error, BackendFailed):  # it never did anything
                error = BackendFailed(f"Worker {name} on {worker.host}", *error.args[1:])
            if worker.run.spec.policy.concurrency > 1 and last != NONE:
                last = None  # they end in any order: the one that began last tells nothing of those that are left
            self._events.lost(worker.run.id, error, _not_begun(worker.tasks, last))

    def _last_begun(self, worker: _Worker, told: int | None) -> int | None:
        """Return the task that a worker began last, NONE for none, None when nobody knows."""
        if not worker.up:
            return NONE
        if told is None:
            told = take(mark_of(self._exchange.folder, worker.name)).get(worker.name)
        return told

    def _arm(self, worker: _Worker) -> None:
        if self._startup_timeout < math.inf:
            worker.late = asyncio.get_running_loop().call_later(self._startup_timeout, self._give_up, worker)

    def _give_up(self, worker: _Worker) -> None:
        """It is not ready; how long its tasks may wait for that is the user's choice, so they wait for no other."""
        tail = self._abandon(worker.name)
        if tail is None:
            self._arm(worker)
            return
        reason = f"it was not ready within startup_timeout={self._startup_timeout:g} s"
        error = BackendFailed(f"Worker {worker.name} on {worker.host}", reason, tail)
        worker.tasks = ()
        self.worker_exited(worker.name, error)

    def all_exited(self, error: RhapsodyError) -> None:
        """Every worker ended."""
        for name in self.names:
            self.worker_exited(name, error)

    def quit(self) -> None:
        """Tell every worker to leave."""
        for worker in self._workers.values():
            if worker.up:
                self._exchange.send(worker.name, Quit())

    def _engage(self, run: Run, host: str) -> _Worker:
        gpus, _ = self._shown(run.placed)
        worker = self._take_idle(host, gpus) or self._new(host, gpus)
        worker.run = run
        self._by_run[run.id] = worker
        if worker.up:
            self._events.at_work(run, host, {worker.name: worker.pid})
        return worker

    def _shown(self, placed: tuple[Placed, ...]) -> tuple[str | None, Mapping[str, str]]:
        """Return the GPUs that a worker is shown, and the variables for its cores and these: the same for all such."""
        if not placed:
            return None, _NONE
        node, share = placed[0].node, placed[0].share
        key = node.gpu_vendor, node.gpus, share.gpus, len(share.cores)
        known = self._environments.get(key)
        if known is None:
            shown = shown_gpus(node, share.gpus)
            variables = {"OMP_NUM_THREADS": str(max(1, len(share.cores))), **shown}
            known = self._environments[key] = next(iter(shown.values()), None), variables
        return known

    def _take_idle(self, host: str, gpus: str | None) -> _Worker | None:
        """Take an idle worker that has these GPUs; those that have some of them among others leave the memory there."""
        idle = self._idle.get(host, {})
        if gpus:
            for other in [other for other in idle if other and other != gpus and _meet(other, gpus)]:
                for worker in idle.pop(other):
                    self._send(worker, Quit())
        fitting = idle.get(gpus)
        return fitting.pop() if fitting else None

    def _new(self, host: str, gpus: str | None) -> _Worker:
        self._count += 1
        worker = _Worker(f"{self._prefix}{self._count}", host, gpus)
        self._workers[worker.name] = worker
        self._arm(worker)
        self._spawn(worker.name, host)
        return worker

    def _up(self, worker: _Worker) -> None:
        worker.up = True
        _disarm(worker)
        if worker.run:
            self._events.at_work(worker.run, worker.host, {worker.name: worker.pid})
        waiting, worker.waiting = worker.waiting, ()
        for message in waiting:
            self._send(worker, message)

    def _send(self, worker: _Worker, message: Work | Recall | Quit | More) -> None:
        if worker.up:
            self._exchange.send(worker.name, message)
        else:
            worker.waiting = (*worker.waiting, message)


def _not_begun(held: Sequence[int], last: int | None) -> Sequence[int]:
    """Return what a worker held and had not begun: all that was given after the task it began last."""
    if last is None:
        return []
    return held[held.index(last) + 1 :] if last in held else held


def _cores_on(run: Run, host: str) -> tuple[int, ...]:
    """Return the real cores that a run holds on a host."""
    if len(run.placed) == 1:
        return run.placed[0].real_cores
    return tuple(sorted({core for part in run.placed if part.node.host == host for core in part.real_cores}))


def _disarm(worker: _Worker) -> None:
    if worker.late:
        worker.late.cancel()
        worker.late = None


def _meet(one: str, other: str) -> bool:
    return not set(one.split(",")).isdisjoint(other.split(","))


def worker_lost(name: str, host: str, reason: str, log: str = "") -> WorkerLost:
    """Return the error for a worker that ended by itself."""
    return WorkerLost(f"{name} on {host}", reason, log)
