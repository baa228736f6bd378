"""The pilot's shell: performs what the core decides, and tells the core what happened."""

import asyncio
import contextlib
import importlib.metadata
import logging
import platform
import shutil
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rhapsody_parsl.config import BlockConfig, VLLMRuntime
from rhapsody_parsl.errors import BackendFailed, MemoryExceeded, RhapsodyError, RuntimeUnavailable
from rhapsody_parsl.hosts import limits
from rhapsody_parsl.hosts.host import Host
from rhapsody_parsl.pilot.catalogue import build
from rhapsody_parsl.pilot.core import Core
from rhapsody_parsl.pilot.instructions import CancelTasks, DiscardResults, EndRun, Feed, Fit, Instruction, StartRuntime
from rhapsody_parsl.pilot.ledger import Ledger
from rhapsody_parsl.pilot.link import Link, find_driver
from rhapsody_parsl.pilot.memory_limits import MemoryLimits
from rhapsody_parsl.runtimes.protocol import Context, Node, Run, Runtime
from rhapsody_parsl.wire.curve import Keys
from rhapsody_parsl.wire.gate import Token
from rhapsody_parsl.wire.messages import (
    VERSION,
    Cancel,
    Goodbye,
    Hello,
    Report,
    Result,
    Results,
    Returned,
    Stop,
    Submit,
    ToPilot,
)
from rhapsody_parsl.wire.shared_memory import block_folder, check_shared, discard_results

__all__ = ("Pilot", "logs_of")

log = logging.getLogger(__name__)

_REPORT_EVERY = 0.5
_BLOCK_VARIABLE = "PARSL_WORKER_BLOCK_ID"
"""Tasks, and Parsl's monitoring of them, find their block by it, as in HighThroughputExecutor."""


class Pilot:
    """One block's pilot.

    Closing runs in this order: (1) take no more tasks, (2) stop the runtimes, all at once, then the memory watches, (3)
    leave the other hosts, (4) say goodbye, (5) close the link, (6) remove the private folder.

    Args:
        config: The block's.
        block: Our number, as the driver knows it.
        folder: Private, on a local disk, and ours to remove.
        nodes: What the block holds, the node we stand on first.
        hosts: Its other hosts, ours to close.
    """

    def __init__(
        self, config: BlockConfig, block: str, folder: Path, *, nodes: Sequence[Node], hosts: Mapping[str, Host]
    ) -> None:
        self._config, self._block = config, block
        self._folder = folder
        self._leaving: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._draining = False
        self._states: dict[str, dict[str, Any]] = {}
        self._services: dict[str, list[dict[str, Any]]] = {}
        self._link: Link | None = None
        self._flushing = False
        self._changed = True
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        by_name = {node.name: node for node in nodes}
        environment = {_BLOCK_VARIABLE: block}
        context = Context(
            by_name,
            nodes[0].name,
            folder,
            logs_of(config, block),
            sys.executable,
            environment,
            self,
            dict(hosts),
            next((host.node_launcher for host in hosts.values()), "ssh"),
            block_folder(config.shared_folder, block),
            config.enforce_memory,
        )
        for host in hosts.values():
            host.on_change = self._host_changed
        self._context = context
        self._limits = MemoryLimits(context)
        self._runtimes: dict[str, Runtime] = {}
        self._core = Core(
            Ledger(nodes),
            self._runtimes,
            config.default_runtime,
            _windows(config),
            ageing=config.ageing,
            clock=time.time,
        )
        self._runtimes.update(build(config.runtimes, context, self._core.borrow))

    async def run(self) -> str:
        """Serve the driver until told to leave or the driver is gone; return why."""
        try:
            await self._connect()
            for name, runtime in self._runtimes.items():
                if runtime.eager:
                    self._core.want(name)
            self._act()
            self._spawn(self._report_loop(), "report")
            return await self._leaving
        finally:
            await self._close()

    def leave(self, reason: str) -> None:
        """End `run`; idempotent."""
        if not self._leaving.done():
            self._leaving.set_result(reason)

    # --- what runtimes tell (the `Events` protocol) --------------------------------------------------------------

    def done(self, run: int, results: Sequence[Result]) -> None:
        """Tasks of a run ended."""
        self._core.done(run, results, time.monotonic())
        self._act()

    def returned(self, run: int, tasks: Sequence[int]) -> None:
        """Tasks of a run had not begun."""
        self._core.returned(run, tasks, time.monotonic())
        self._act()

    def lost(self, run: int, error: RhapsodyError, untouched: Sequence[int] = ()) -> None:
        """A run is over before its tasks."""
        if self._leaving.done():
            return  # we end it ourselves: the goodbye names its tasks
        error = _explained(error)
        log.warning("run %d lost: %s", run, error)
        self._limits.release(run, "stay")
        self._core.lost(run, error, untouched, time.monotonic())
        self._act()

    def at_work(
        self,
        run: Run,
        host: str,
        pids: Mapping[str, int],
        on_exceeded: Callable[[MemoryExceeded], None] | None = None,
    ) -> None:
        """These processes work for a run."""
        if self._context.limits_memory and run.spec.resources.memory:
            self._limits.keep(run, host, pids, on_exceeded or partial(self._memory_exceeded, run.id))

    def at_rest(self, run: int) -> None:
        """Nothing works for a run any more that is none of ours."""
        self._limits.release(run)

    def _memory_exceeded(self, run: int, error: MemoryExceeded) -> None:
        """A run's processes hold more than it leases."""
        log.warning("run %d: %s", run, error)
        self._core.memory_exceeded(run, error)
        self._act()

    def state(self, runtime: str, state: str, detail: str = "") -> None:
        """A runtime's state, for people."""
        log.info("runtime %s: %s %s", runtime, state, detail)
        self._states[runtime] = {"state": state, "detail": detail}
        self._changed = True

    def services(self, services: Sequence[dict[str, Any]]) -> None:
        """Services changed."""
        self._services = {"all": list(services)}
        self._changed = True
        self._send_report()

    def _host_changed(self, host: Host, problem: str) -> None:
        """A host of the block was lost, or is back."""
        now = time.monotonic()
        for node in self._context.nodes.values():
            if node.host == host.name and not self._leaving.done():
                self._core.node_lost(node.name, problem, now) if problem else self._core.node_back(node.name, now)
        self._changed = True
        self._act()

    # --- the driver ----------------------------------------------------------------------------------------------

    async def _connect(self) -> None:
        config = self._config
        address = await find_driver(config.addresses)
        token = Token(config.token)
        proof = Keys.load(Path(config.certificates)) if config.certificates else token
        period, threshold = config.heartbeat_period, config.heartbeat_threshold
        self._link = Link(
            address,
            self._block,
            proof=proof,
            token=token,
            receive=self._receive,
            lost=self.leave,
            period=period,
            threshold=threshold,
        )
        self._link.send(Hello(VERSION, self._block, importlib.metadata.version("rhapsody-parsl"), self._inventory()))
        log.info("connected to %s; %s", address, self._inventory())

    def _inventory(self) -> dict[str, Any]:
        best = self._core.ledger.at_best(whole=True).accounts.values()
        return {
            "host": socket.gethostname(),
            "python": platform.python_version(),
            "nodes": [
                {"name": a.node.name, "cores": a.free_cores, "gpus": a.free_gpus, "memory": a.memory,
                 "labels": list(a.node.labels)}
                for a in best
            ],
            "runtimes": sorted(self._runtimes),
            "cores": sum(len(a.node.cores) for a in best),
            "shared_memory": bool(self._context.shared_folder),
        }  # fmt: skip

    def _receive(self, message: ToPilot) -> None:
        now = time.monotonic()
        match message:
            case Submit(tasks=tasks):
                check_shared(tasks, self._config.shared_folder)
                self._core.submit(tasks, now)
            case Cancel(tasks=tasks):
                self._core.cancel(tasks, now)
            case Stop(drain=drain):
                self._draining = drain
                if not drain:
                    self.leave("the driver said stop")
        self._act()

    # --- acting --------------------------------------------------------------------------------------------------

    def _act(self) -> None:
        """Perform the core's instructions; results leave once, at the end of this turn of the loop.

        At once when no task is left that might still end in this turn: the rest of a turn costs a lone task 15 µs. When
        there are no results, nobody waits for that end either.
        """
        self._changed = True
        while instructions := self._core.take():
            for instruction in instructions if not self._leaving.done() else ():
                self._perform(instruction)
        if self._flushing:
            return
        if self._core.idle or not self._core.has_results:
            self._flush()
        else:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _perform(self, instruction: Instruction) -> None:
        match instruction:
            case Feed(runtime=name, run=run, tasks=tasks):
                self._runtimes[name].run(run, tasks)
            case EndRun(runtime=name, run=run):
                self._runtimes[name].end(run)
                if run.spec.resources.memory:
                    self._limits.release(run.id)
            case Fit(run=run):
                self._limits.adjust(run)
            case CancelTasks(runtime=name, run=run, tasks=ids, kill=kill):
                self._runtimes[name].cancel(run, ids, kill)
            case DiscardResults(tasks=ids):
                discard_results(self._context.shared_folder, ids)
            case StartRuntime(name=name):
                self._spawn(self._start_runtime(name), f"start {name}")

    async def _start_runtime(self, name: str) -> None:
        self.state(name, "starting")
        try:
            await self._runtimes[name].start()
        except Exception as problem:
            log.warning("runtime %s did not start", name, exc_info=problem)
            error = _explained(_typed(name, problem))
            self.state(name, "failed", str(error))
            self._core.runtime_failed(name, error, time.monotonic())
        else:
            self.state(name, "ready")
            self._core.runtime_ready(name, time.monotonic())
        self._act()

    def _flush(self) -> None:
        self._flushing = False
        results, leases = self._core.take_results()
        if (results or leases) and self._link:
            self._link.send(Results(results, leases))
        self._arm_timer()
        if self._draining:
            self._drain()

    def _drain(self) -> None:
        """Give back what has not begun, also what workers gave back meanwhile; leave when the rest has ended."""
        if self._link and (waiting := self._core.return_waiting()):
            self._link.send(Returned(0, waiting))
        if not self._core.running:
            self.leave("drained")

    def _arm_timer(self) -> None:
        """Have `_tick` called when the core wants it, or before: most of what it waits for is over by then."""
        seconds = self._core.next_tick(time.monotonic())
        if seconds is None:
            return
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            if self._timer.when() <= loop.time() + seconds:
                return
            self._timer.cancel()
        self._timer = loop.call_later(seconds, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._core.tick(time.monotonic())
        self._act()

    # --- reports -------------------------------------------------------------------------------------------------

    async def _report_loop(self) -> None:
        while True:
            await asyncio.sleep(_REPORT_EVERY)
            if self._changed:
                self._send_report()

    def _send_report(self) -> None:
        if self._link is None:
            return
        self._changed = False
        running, ended = self._core.running_by_runtime(), self._core.ended_by_runtime
        runtimes = {
            name: {
                "state": "off",
                "detail": "",
                **self._states.get(name, {}),
                "running": running[name],
                "done": ended[name],
            }
            for name in self._runtimes
        }
        counts = {"queued": self._core.queued, "running": sum(running.values()), **self._core.counts}
        state = {"tasks": counts, "runtimes": runtimes, "services": self._services.get("all", []),
                 "lost_nodes": self._core.ledger.away}  # fmt: skip
        self._link.send(Report(state, self._core.open_leases()))

    # --- the end -------------------------------------------------------------------------------------------------

    def _spawn(self, coroutine: Any, name: str) -> None:
        task: asyncio.Task[None] = asyncio.create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (problem := task.exception()):
            log.error("%s broke", task.get_name(), exc_info=problem)
            self.leave(f"{task.get_name()} broke: {problem!r}")

    async def _close(self) -> None:
        reason = self._leaving.result() if self._leaving.done() else "the pilot broke"
        log.info("leaving: %s", reason)
        begun = self._core.begun()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*(_watch(f"runtime {name}", rt.stop()) for name, rt in self._runtimes.items()))
        await _watch("memory limits", self._limits.stop())
        await asyncio.gather(*(_watch(f"host {host.name}", host.stop()) for host in self._context.hosts.values()))
        if self._link:
            self._link.send(Goodbye(reason, begun))
            self._link.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def _typed(runtime: str, problem: Exception) -> RhapsodyError:
    """Return why a runtime did not start as an error of ours."""
    if isinstance(problem, RhapsodyError):
        return problem
    if isinstance(problem, OSError):  # no process, no memory, no file more
        return BackendFailed(f"The {runtime} runtime", str(problem))
    return RuntimeUnavailable(runtime, repr(problem))


def _explained(error: RhapsodyError) -> RhapsodyError:
    """Add what is scarce on our host to an error of something that did not start."""
    if not isinstance(error, BackendFailed) or "ulimit" in error.args[1] or not (scarce := limits.shortage()):
        return error
    backend, reason, tail = error.args
    return BackendFailed(backend, f"{reason}. On {socket.gethostname()}: {scarce}", tail)


async def _watch(what: str, end: Awaitable[None]) -> None:
    """Wait for an end; tell how long it took, for whoever asks why a block was slow to leave."""
    began = time.monotonic()
    try:
        await end
    except (Exception, asyncio.CancelledError):  # the rest is to end all the same
        log.exception("%s did not end cleanly", what)
    else:
        log.info("%s ended within %.1f s", what, time.monotonic() - began)


def logs_of(config: BlockConfig, block: str) -> Path:
    """Return the folder of a block's logs, made if need be; all hosts see it."""
    logs = Path(config.logs) / f"block-{block}"
    with contextlib.suppress(OSError):  # no room there costs the logs only; a task that prints is told
        logs.mkdir(parents=True, exist_ok=True)
    return logs


def _windows(config: BlockConfig) -> dict[str, int]:
    """Requests take no lease; how many are with a replica is the runtime's wish."""
    vllm = next((runtime for runtime in config.runtimes if isinstance(runtime, VLLMRuntime)), None)
    if vllm is None:
        return {}
    return {"vllm": vllm.requests_in_flight * max((service.replicas for service in vllm.services), default=1)}
