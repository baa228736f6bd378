"""The shell around the core: what runtimes and hosts tell goes in, and what the core decides is performed."""

import asyncio
import logging
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

from rhapsody_parsl.agents.host import Host
from rhapsody_parsl.annotations.task_spec import MAILBOX, TURN
from rhapsody_parsl.block_end import VARIABLE
from rhapsody_parsl.config import BlockConfig, decode_service
from rhapsody_parsl.door.keeper import Door
from rhapsody_parsl.door.tunnel import Tunnel
from rhapsody_parsl.errors import MemoryExceeded, RhapsodyError
from rhapsody_parsl.hosts.changes import HostChanges
from rhapsody_parsl.in_block.exchange import Peer
from rhapsody_parsl.pilot.catalogue import build, build_services
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
from rhapsody_parsl.pilot.inventory import inventory_of
from rhapsody_parsl.pilot.leaving import Background, Leaving, leave, watch
from rhapsody_parsl.pilot.ledger import Ledger
from rhapsody_parsl.pilot.logs import checkpoint_of, logs_of
from rhapsody_parsl.pilot.mailboxes import Mailboxes
from rhapsody_parsl.pilot.memory_limits import MemoryLimits
from rhapsody_parsl.pilot.nearness import Nearness
from rhapsody_parsl.pilot.nesting import Limits
from rhapsody_parsl.pilot.own_values import OwnValues
from rhapsody_parsl.pilot.parents import Parents
from rhapsody_parsl.pilot.reports import Reports
from rhapsody_parsl.pilot.runs import Runs
from rhapsody_parsl.pilot.start_errors import explained, typed
from rhapsody_parsl.pilot.streams import Streams
from rhapsody_parsl.pilot.timer import Timer
from rhapsody_parsl.pilot.turns import Turns
from rhapsody_parsl.pilot.values import Values
from rhapsody_parsl.runtimes.protocol import Context, Node, Run, Runtime
from rhapsody_parsl.scheduling.travel import unpacked
from rhapsody_parsl.service_config import ServiceConfig
from rhapsody_parsl.wire.examination import Examine, Examined
from rhapsody_parsl.wire.failures import to_wire
from rhapsody_parsl.wire.messages import FromParent, FromPilot, Holds, Result, Results, Returned, Serve, Served
from rhapsody_parsl.wire.piece_messages import More, Piece
from rhapsody_parsl.wire.reports import Inventory, ServiceReport
from rhapsody_parsl.wire.states import RuntimeState

__all__ = ("Shell",)

log = logging.getLogger(__name__)

_BLOCK_VARIABLE = "PARSL_WORKER_BLOCK_ID"
"""Tasks, and Parsl's monitoring of them, find their block by it, as in HighThroughputExecutor."""


class Shell:
    """The core of a block with its runtimes, services, memory limits and hosts; it is the runtimes' `Events`.

    Closing runs in this order: (1) stop the runtimes, the services and their front door, all at once, (2) stop the
    memory watches, (3) leave the other hosts.

    Args:
        config: The block's.
        block: Our number, as the driver knows it.
        folder: Private, on a local disk.
        nodes: What the block holds, the node we stand on first.
        hosts: Its other hosts, ours to close.
        changes: Tells when one of these is lost, or back.
        ends_at: Seconds since the epoch at which the job ends; None where nobody says.
        send: Sends the driver a message.
        leaving: Whether the pilot leaves; told so when it is drained, and when something here breaks.

    Attributes:
        core: Decides.
        context: What the runtimes know of the block.
        reports: What the driver is told of the block.
        door, tunnel: The front door, and the way there from the driver.
        streams: Those of its tasks.
        values, own_values: Those kept by reference, and who of the block needs which of its own.
        draining: Whether to give back what has not begun, and to leave when the rest has ended.
    """

    def __init__(  # noqa: PLR0913 - as many facts, each from somewhere else
        self,
        config: BlockConfig,
        block: str,
        folder: Path,
        *,
        nodes: Sequence[Node],
        hosts: Mapping[str, Host],
        changes: HostChanges,
        ends_at: float | None,
        send: Callable[[FromPilot], None],
        leaving: Leaving,
    ) -> None:
        self._send, self._leaving, self._background = send, leaving, Background(leaving)
        self.draining = self._flushing = self._rescheduling = False
        self._timer, self.values = Timer(self._tick), Values(config, block, folder, hosts=hosts.values(), send=send)
        ledger = Ledger(nodes)
        ledger.expect([name for name, host in hosts.items() if not host.up])
        runs = Runs(ledger, time.time, config.max_launches)
        self.context = Context(
            nearest=Nearness(nodes, self.values.hosts_of).nearest,
            nodes={node.name: node for node in nodes},
            head=nodes[0].name,
            folder=folder,
            logs=logs_of(config, block),
            python=sys.executable,
            environment={_BLOCK_VARIABLE: block, **({} if ends_at is None else {VARIABLE: f"{ends_at:.3f}"})},
            events=self,
            hosts=dict(hosts),
            node_launcher=next((host.node_launcher for host in hosts.values()), "ssh"),
            shared_folder=self.values.shared_folder,
            limits_memory=config.enforce_memory,
            ends_at=ends_at,
            parents=partial(self.values.hear, self._hear_parent),
        )
        key, wait, told = config.openai_key, config.openai_wait, send if config.record else None
        services = build_services(config, self.context, runs.for_services)
        self._limits, self._services = MemoryLimits(self.context), services
        self.door = Door(self.context, services, key=key, wait=wait, on_idle=self.act, record=told)
        services.stand_behind(self.door)
        self.tunnel = Tunnel(send, lambda: self.door.port, wait)
        runtimes = build(config, self.context, self._services)
        self._mail, turns = Mailboxes(self, partial(checkpoint_of, self.context.logs)), Turns(self)
        self._runtimes: dict[str, Runtime] = {**runtimes, MAILBOX: self._mail, TURN: turns}
        self.core = self._core(config, runs)
        self.streams, self.own_values = Streams(send, self.core.family), OwnValues(self.core, self.values, nodes)
        self._parents = Parents(self.core, self.streams, self._mail, turns, values=self.own_values)
        self.reports = Reports(self.core, runtimes)
        self._set_windows(config.services)
        changes.listen(self._host_changed)
        runs.for_services.on_change = self._room_changed
        runs.for_services.lasting = False  # from here on tasks wait for what services may give back
        self._told, self._best = self.inventory(), self.core.ledger.at_best(whole=True)

    def _core(self, config: BlockConfig, runs: Runs) -> Core:
        at = self.context.ends_at
        windows = {MAILBOX: sys.maxsize, **{each.name: each.window for each in config.runtimes if each.window}}
        return Core(
            runs, self._runtimes, config.default_runtime, windows,
            scheduling=unpacked(config.scheduling, config.ageing), record=config.record,
            limits=Limits(config.max_depth, config.max_children, config.max_agents),
            ends=None if at is None else time.monotonic() + at - time.time(),
        )  # fmt: skip

    def inventory(self) -> Inventory:
        """Return what the driver is told that the block holds."""
        ledger, shared = self.core.ledger, bool(self.context.shared_folder)
        return inventory_of(ledger, self._runtimes, shared, ends_at=self.context.ends_at, now=time.time())

    def start(self) -> None:
        """Start the services, and the runtimes that start with the block."""
        self._services.start()
        for name, runtime in self._runtimes.items():
            if runtime.eager:
                self.core.want(name)
        self.act()

    def serve(self, order: Serve) -> None:
        """The driver wants a service to be otherwise, or a new one."""
        try:
            service = decode_service(order.service)
            self._services.serve(service, drain=order.drain, renew=order.renew, unload=order.unload)
        except RhapsodyError as error:
            name, facts = to_wire(error)
            self._send(Served(order.order, name, facts))
        else:
            self._send(Served(order.order))
            self._set_windows([service])
            self.act()

    def _set_windows(self, services: Iterable[ServiceConfig]) -> None:
        """Have as many requests with each service as its replicas take."""
        for service in services:
            if service.window:
                self.core.set_window(service.name, service.window, time.monotonic())

    def examine(self, question: Examine) -> None:
        """Somebody asks the driver what waits here, and why."""
        try:
            answer = self.reports.examined(question, time.monotonic())
        except Exception:  # a person's look must not cost the block
            log.exception("what waits here could not be told")
            answer = Examined(question.question)
        self._send(answer)

    async def close(self) -> None:
        """Stop all that runs in the block; returns when nothing is left."""
        self._background.cancel()
        stops = {f"runtime {name}": runtime.stop() for name, runtime in self._runtimes.items()}
        stops |= {"services": self._services.stop(), "front door": self.door.stop(), "tunnel": self.tunnel.stop()}
        await asyncio.gather(*(watch(what, stop) for what, stop in stops.items()))
        await watch("memory limits", self._limits.stop())
        await leave(self.context.hosts.values())

    # --- what runtimes tell (the `Events` protocol) --------------------------------------------------------------

    def done(self, run: int, results: Sequence[Result]) -> None:
        """Tasks of a run ended."""
        if self.streams:
            self.streams.ended(run, {result.id for result in results})
        self.core.done(run, results, time.monotonic())
        self.act()

    def returned(self, run: int, tasks: Sequence[int]) -> None:
        """Tasks of a run had not begun."""
        self.core.returned(run, tasks, time.monotonic())
        self.act()

    def lost(self, run: int, error: RhapsodyError, untouched: Sequence[int] = ()) -> None:
        """A run is over before its tasks."""
        if self._leaving.begun:
            return  # we end it ourselves: the goodbye names its tasks
        error = explained(error)
        log.warning("run %d lost: %s", run, error)
        self._limits.release(run, "stay")
        self.core.lost(run, error, untouched, time.monotonic())
        self.act()

    def pieces(self, run: int, pieces: Sequence[Piece], more: Callable[[More], None]) -> None:
        """Tasks of a run gave these."""
        self.streams.pieces(run, pieces, more)

    def at_work(
        self,
        run: Run,
        host: str,
        pids: Mapping[str, int],
        on_exceeded: Callable[[MemoryExceeded], None] | None = None,
    ) -> None:
        """These processes work for a run."""
        if self.context.limits_memory and run.spec.resources.memory:
            self._limits.keep(run, host, pids, on_exceeded or partial(self._memory_exceeded, run.id))

    def at_rest(self, run: int) -> None:
        """Nothing works for a run any more that is none of ours."""
        self._limits.release(run)

    def state(self, runtime: str, state: RuntimeState, detail: str = "") -> None:
        """A runtime's state changed."""
        log.info("runtime %s: %s %s", runtime, state, detail)
        self.reports.note_runtime(runtime, state, detail)

    def services(self, services: Sequence[ServiceReport]) -> None:
        """Services changed; the driver is told at once."""
        self._tell_holdings()  # first: who waits for the report counts on it
        self.reports.note_services(services)
        self.report()

    def report(self) -> None:
        """Tell the driver how the block is."""
        for part in self.reports.make():
            self._send(part)

    def _tell_holdings(self) -> None:
        """Tell the driver what the block holds for tasks, when that has changed."""
        best = self.core.ledger.at_best(whole=True)
        if best is not self._best:
            self._best = best
            if (holds := self.inventory()) != self._told:
                self._told = holds
                self._send(Holds(holds))

    def _room_changed(self) -> None:
        """Services gave something back, or wait for something."""
        if not self._rescheduling:
            self._rescheduling = True
            asyncio.get_running_loop().call_soon(self._reschedule)

    def _reschedule(self) -> None:
        self._rescheduling = False
        self.core.room_changed(time.monotonic())
        self.act()

    # --- what tasks ask ------------------------------------------------------------------------------------------

    def _hear_parent(self, peer: Peer, message: FromParent) -> None:
        """A task's process says something of tasks that the task submits."""
        if not self._leaving.begun:
            self._parents.receive(peer, message)
            self.act()

    # --- what hosts tell -----------------------------------------------------------------------------------------

    def _memory_exceeded(self, run: int, error: MemoryExceeded) -> None:
        """A run's processes hold more than it leases."""
        log.warning("run %d: %s", run, error)
        self.core.memory_exceeded(run, error)
        self.act()

    def _host_changed(self, host: str, problem: str) -> None:
        """A host of the block was lost, or is back."""
        now = time.monotonic()
        self.values.host_changed(host, problem)
        for node in self.context.nodes.values():
            if node.host == host and not self._leaving.begun:
                self.core.node_lost(node.name, problem, now) if problem else self.core.node_back(node.name, now)
        self.act()

    # --- acting --------------------------------------------------------------------------------------------------

    def act(self) -> None:
        """Perform the core's instructions; results leave once, at the end of this turn of the loop.

        At once when no task is left that might still end in this turn: the rest of a turn costs a lone task 15 µs. So
        what a turn's first event leads to is decided at once, too; what the others do, once, at its end.
        """
        self.reports.changed = True
        if self.core.family.orphans:
            self.core.end_orphans(time.monotonic())
        if self.core.family.agents_over:
            self._mail.over(self.core.family.take_agents_over())
        self._follow(decided=self._flushing)
        if not self._flushing and self.core.only_parents:
            self._flush()
        elif not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _follow(self, *, decided: bool = False) -> None:
        while instructions := self.core.take(decided=decided):
            for instruction in instructions if not self._leaving.begun else ():
                self._perform(instruction)

    def _perform(self, instruction: Instruction) -> None:
        match instruction:
            case Feed(runtime=name, run=run, tasks=tasks):
                self._runtimes[name].run(run, tasks)
            case EndRun(runtime=name, run=run):
                self._end(name, run)
            case Fit(run=run):
                self._limits.adjust(run)
            case CancelTasks(runtime=name, run=run, tasks=ids, kill=kill):
                self._runtimes[name].cancel(run, ids, kill)
            case DiscardResults(tasks=ids, left=left):
                self.values.discard(ids, left)
            case StartRuntime(name=name):
                self._background.spawn(self._start_runtime(name), f"start {name}")
            case Grant(granted=granted, loan=loan):
                granted(loan)

    def _end(self, runtime: str, run: Run) -> None:
        """Nothing works for a run any more."""
        self._runtimes[runtime].end(run)
        if self.streams:
            self.streams.ended(run.id)
        if run.spec.resources.memory:
            self._limits.release(run.id)

    async def _start_runtime(self, name: str) -> None:
        self.state(name, "starting")
        try:
            await self._runtimes[name].start()
        except Exception as problem:
            log.warning("runtime %s did not start", name, exc_info=problem)
            error = explained(typed(name, problem))
            self.state(name, "failed", str(error))
            self.core.runtime_failed(name, error, time.monotonic())
        else:
            self.state(name, "ready")
            self.core.runtime_ready(name, time.monotonic())
        self.act()

    def _flush(self) -> None:
        self._follow()
        self._flushing = False
        results, leases, times = self.core.take_results()
        self._parents.tell()
        if results or leases:
            self._send(Results(results, leases, times, (time.time(), time.monotonic())))
        if late := self.core.take_late():
            self._send(Returned(0, late))
        self._timer.arm(self.core.next_tick(time.monotonic()))
        if self.draining:
            self._drain()

    def _drain(self) -> None:
        """Give back what has not begun, also what workers gave back meanwhile; leave when the rest has ended."""
        if waiting := self.core.return_waiting() + self._mail.leave():
            self._send(Returned(0, waiting))
        self.door.drain()
        if (self.core.idle or self._mail.at_rest) and not self.door.busy:
            self._leaving.begin("drained")

    def _tick(self) -> None:
        self.core.tick(time.monotonic())
        self.act()
