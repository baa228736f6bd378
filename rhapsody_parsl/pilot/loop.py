"""A block's pilot: joined to the driver, at its service until told to leave, and gone with all it had."""

import asyncio
import importlib.metadata
import logging
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rhapsody_parsl.agents.host import Host
from rhapsody_parsl.config import BlockConfig
from rhapsody_parsl.hosts import staging
from rhapsody_parsl.hosts.changes import HostChanges
from rhapsody_parsl.pilot.leaving import Background, Leaving
from rhapsody_parsl.pilot.link import Link, find_driver
from rhapsody_parsl.pilot.shared_specs import SharedSpecs
from rhapsody_parsl.pilot.shell import Shell
from rhapsody_parsl.pilot.use import BlockUse
from rhapsody_parsl.runtimes.protocol import Node
from rhapsody_parsl.wire.curve import Keys
from rhapsody_parsl.wire.door import DoorKeys, Tunnelled
from rhapsody_parsl.wire.examination import Examine
from rhapsody_parsl.wire.gate import Token
from rhapsody_parsl.wire.messages import (
    VERSION,
    Cancel,
    FromPilot,
    Goodbye,
    Hello,
    Serve,
    Stop,
    Submit,
    ToPilot,
)
from rhapsody_parsl.wire.piece_messages import More
from rhapsody_parsl.wire.shared_memory import check_shared
from rhapsody_parsl.wire.value_messages import DropValues, ToValues, ValuesCame, WantValue

__all__ = ("Pilot",)

log = logging.getLogger(__name__)

_REPORT_EVERY = 0.5
_REST = 20
"""Times as long as a report took to make, until the next one: it has a line for each lease that is out."""


class Pilot:
    """One block's pilot.

    Closing runs in this order: (1) take no more tasks, (2) stop what runs in the block, see `Shell`, (3) remove a
    staged environment, (4) say goodbye, (5) close the link, (6) remove the private folder.

    Args:
        config: The block's.
        block: Our number, as the driver knows it.
        folder: Private, on a local disk, and ours to remove.
        nodes: What the block holds, the node we stand on first.
        hosts: Its other hosts, ours to close.
        changes: Tells when one of these is lost, or back.
        ends_at: Seconds since the epoch at which the job ends; None where nobody says.
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
        ends_at: float | None = None,
    ) -> None:
        self._config, self._block, self._folder = config, block, folder
        self._leaving = Leaving()
        self._background = Background(self._leaving)
        self._link: Link | None = None
        self._specs = SharedSpecs()
        self._shell = Shell(
            config,
            block,
            folder,
            nodes=nodes,
            hosts=hosts,
            changes=changes,
            ends_at=ends_at,
            send=self._send,
            leaving=self._leaving,
        )
        self._core = self._shell.core
        self._use = BlockUse(nodes, hosts, self._send, self._shell.context.gpu_memory) if config.record else None

    async def run(self) -> None:
        """Serve the driver until told to leave or the driver is gone."""
        asyncio.get_running_loop().set_exception_handler(self._broke)
        try:
            await self._connect()
            self._shell.start()
            self._background.spawn(self._report(), "report")
            if self._use:
                self._background.spawn(self._use.serve(), "use of the nodes")
            await self._leaving.wait()
        finally:
            await self._close()

    def leave(self, reason: str) -> None:
        """End `run`; idempotent."""
        self._leaving.begin(reason)

    def _broke(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Something was raised where nobody takes it. Where a callback broke off, what waits for it never ends."""
        loop.default_exception_handler(context)
        if "handle" in context and (problem := context.get("exception")):
            self.leave(f"the pilot broke: {problem!r}")

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
        inventory = self._shell.inventory()
        self._send(Hello(VERSION, self._block, importlib.metadata.version("rhapsody-parsl"), inventory))
        log.info("connected to %s; %s", address, inventory)

    def _send(self, message: FromPilot) -> None:
        if self._link:
            self._link.send(message)

    def _receive(self, message: ToPilot) -> None:
        now = time.monotonic()
        match message:
            case Submit(tasks=tasks):
                check_shared(tasks, self._config.shared_folder)
                self._specs.share(tasks)
                self._core.submit(self._shell.own_values.near(tasks), now)
            case Cancel(tasks=tasks):
                self._core.cancel(tasks, now)
            case Serve():
                self._shell.serve(message)
            case Examine():
                self._shell.examine(message)
            case Stop(drain=drain):
                self._shell.draining = drain
                if not drain:
                    self.leave("the driver said stop")
            case _:
                self._pass_on(message)
                return
        self._shell.act()

    def _pass_on(self, message: More | Tunnelled | DoorKeys | ToValues) -> None:
        """Some words are for the front door, for whoever has a stream, or of values: nothing is to be decided."""
        if isinstance(message, More):
            self._shell.streams.more(message)
        elif isinstance(message, DoorKeys):
            self._shell.door.take_keys(message)
        elif isinstance(message, WantValue | ValuesCame | DropValues):
            self._shell.values.told(message)
        else:
            self._shell.tunnel.receive(message)

    async def _report(self) -> None:
        """Tell the driver how the block is, as often as it can hear it: what it has not confirmed is kept."""
        took, last = 0.0, 0
        while True:
            await asyncio.sleep(max(_REPORT_EVERY, _REST * took))
            began = time.monotonic()
            if self._shell.reports.changed and self._link and not self._link.is_behind(last):
                self._shell.report()
                last = self._link.sent
            took = time.monotonic() - began

    async def _close(self) -> None:
        reason = self._leaving.reason
        log.info("leaving: %s", reason)
        begun = self._core.begun()
        self._background.cancel()
        if self._use:
            self._use.close()
        await self._shell.close()
        self._shell.values.close()
        if self._config.stage_environment:  # takes a while, and the job may be ended once we have said goodbye
            await asyncio.to_thread(staging.remove, str(self._folder))
        self._send(Goodbye(reason, begun))
        if self._link:
            self._link.close()
        shutil.rmtree(self._folder, ignore_errors=True)
