"""The block's other hosts as the pilot sees them: a node agent on each, watched, and started again after a loss."""

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from rhapsody_parsl.agents import node_agent
from rhapsody_parsl.agents.carrier import Carrier
from rhapsody_parsl.agents.line import Line
from rhapsody_parsl.agents.listener import HELLO_WITHIN, AgentListener
from rhapsody_parsl.agents.words import (
    Begun,
    DropValues,
    Ended,
    Environment,
    FromAgent,
    HangUp,
    Hello,
    KeepValues,
    Kill,
    Open,
    Relayed,
    Release,
    Start,
    ToAgent,
)
from rhapsody_parsl.cluster.node_launcher import NodeLauncher, environment
from rhapsody_parsl.hosts.probe import HostFacts

__all__ = ("Host", "RemoteProcess")

log = logging.getLogger(__name__)

_FIRST_PAUSE, _LONGEST_PAUSE = 2.0, 60.0

Heard = Callable[[str, list[bytes]], None]
"""Takes the name of a process of the host, and the frames of what it says."""


class RemoteProcess:
    """A guarded process on another host; `reason` says why when its end is not its own.

    Attributes:
        returncode: None while it lives.
        reason: Why it ended, when that is no exit code of its own.
        begun: The task that each worker that ended with it began last.
        waits: Whether it is still to be started, after others.
    """

    def __init__(self, tell: Callable[[Literal["release", "kill"]], None]) -> None:
        self._tell = tell
        self._over = asyncio.Event()
        self.returncode: int | None = None
        self.reason = ""
        self.begun: dict[str, int] = {}
        self.waits = True

    async def wait(self) -> int:
        """Wait for its end and return the exit code of its guard."""
        await self._over.wait()
        return self.returncode or 0

    def release(self) -> None:
        """Have the guard end it and all below it."""
        self._tell("release")

    def kill(self) -> None:
        """Kill its guard."""
        self._tell("kill")

    def ended(self, code: int, reason: str = "", begun: Mapping[str, int] | None = None) -> None:
        """Note its end."""
        self.waits = False
        if self.returncode is None:
            self.returncode, self.reason, self.begun = code, reason, dict(begun or {})
            self._over.set()


class Host:
    """Another host of the block.

    Args:
        name: As the batch system calls it.
        node_launcher: How to start a process on it.
        folder: The private folder on its own disk.
        log: File for what the node agent and the way to it complain of.
        listener: Where its agent comes in.
        on_change: Called with its name and why when it is lost, with its name and "" when it is back.

    Attributes:
        facts: What it offers, as its agent said last.
        problem: Why it is not up.
        listener: As given.
    """

    def __init__(
        self,
        name: str,
        *,
        node_launcher: NodeLauncher,
        folder: Path,
        log: Path,
        listener: AgentListener,
        on_change: Callable[[str, str], None],
    ) -> None:
        self.name, self._on_change = name, on_change
        self._node_launcher, self._folder, self._log, self.listener = node_launcher, folder, log, listener
        self._carrier: Carrier | None = None
        self._line: Line[FromAgent] | None = None
        self._exchanges: dict[str, Heard] = {}
        self._opened: list[Open] = []
        self._keep: KeepValues | None = None
        self._processes: dict[int, RemoteProcess] = {}
        self._count = 0
        self._life: asyncio.Task[None] | None = None
        self._losses: list[Callable[[str], None]] = []
        self.facts: HostFacts | None = None
        self.problem = ""
        self._is_up = asyncio.Event()
        self._gone = asyncio.Event()
        self._ear: asyncio.Task[None] | None = None

    @property
    def node_launcher(self) -> str:
        """How it is reached."""
        return self._node_launcher.kind

    @property
    def up(self) -> bool:
        """Whether it can be used."""
        return self._is_up.is_set()

    async def wait_up(self) -> None:
        """Wait until it can be used."""
        await self._is_up.wait()

    async def start(self) -> bool:
        """Start the node agent; False, with `problem` set, when it does not answer. Later ends and returns are told."""
        ok = await self._start_agent()
        self._life = asyncio.create_task(self._live(ok), name=f"watch {self.name}")
        return ok

    async def stop(self) -> None:
        """End all there; returns when it is gone, or cannot be heard any more. Idempotent."""
        if self._life:
            self._life.cancel()
            await asyncio.gather(self._life, return_exceptions=True)
            self._life = None
        self._is_up.clear()
        carrier = self._part()
        if carrier:
            await carrier.stop()

    # --- processes and what they say -----------------------------------------------------------------------------

    def start_process(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str | None],
        log: Path,
        files: Mapping[str, str],
        marks: str = "",
        name: str = "",
    ) -> RemoteProcess:
        """Start a guarded process there.

        Args:
            argv: The guard's options and the command.
            env: Its own variables; all others are the pilot's. None removes one.
            log: For its output, in a folder that both hosts see.
            files: Private files written before.
            marks: Files there that tell what workers began last (see `mark`), a pattern.
            name: What it will call itself on an exchange when it is up; "" for one that is to be started at once.
        """
        self._count += 1
        number = self._count
        process = RemoteProcess(lambda what: self._tell(Release(number) if what == "release" else Kill(number)))
        if not self.up:
            process.ended(1, f"its host {self.name} is lost: {self.problem}")
            return process
        self._processes[number] = process
        self._tell(Start(number, list(argv), dict(env), dict(files), marks, str(log), os.getcwd(), name))
        return process

    def watch(self, on_loss: Callable[[str], None]) -> Callable[[], None]:
        """Call back with the reason when the host is lost; return what ends that."""
        self._losses.append(on_loss)
        return lambda: self._losses.remove(on_loss) if on_loss in self._losses else None

    def open(self, exchange: str, heard: Heard, after: str = "") -> None:
        """Let processes there speak on an exchange, also after a loss; idempotent.

        Args:
            exchange: Its name.
            heard: Takes what they say.
            after: Another exchange: what is said here comes after all that was said there.
        """
        if exchange not in self._exchanges:
            self._opened.append(Open(exchange, after))
            self._tell(self._opened[-1])
        self._exchanges[exchange] = heard

    def send(self, exchange: str, peer: str, frames: Sequence[bytes]) -> None:
        """Send a message to a process there; one that is gone gets nothing."""
        if self._line and self.up:
            self._line.relay(exchange, peer, frames)

    def hang_up(self, exchange: str, peer: str) -> None:
        """Hear a process no more: what it said was no message."""
        self._tell(HangUp(exchange, peer))

    def keep_values(self, keep: KeepValues) -> None:
        """Let processes there keep values by reference, also after a loss."""
        self._keep = keep
        self._tell(keep)

    def drop_values(self, keys: Sequence[str]) -> None:
        """Remove values there."""
        self._tell(DropValues(list(keys)))

    # --- its life ------------------------------------------------------------------------------------------------

    async def _live(self, up: bool) -> None:
        """Wait for the end of the node agent; when it is lost say so, and try to be there again."""
        pause = _FIRST_PAUSE
        while True:
            if up:
                pause = _FIRST_PAUSE
                await self._gone.wait()
                await self._lost()
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
            up = await self._start_agent()
            if up:
                self._on_change(self.name, "")

    async def _start_agent(self) -> bool:
        """Start a node agent and wait for its first word."""
        self.problem, self._gone = "", asyncio.Event()
        self._line, first = self.listener.expect(self.name, self._hear, self._end)
        try:
            self._carrier = await Carrier.start(self._argv(), self._log, first)
        except OSError as problem:
            self.problem = str(problem)
            self._part()
            return False
        self._ear = asyncio.create_task(self._listen(self._carrier), name=f"carrier of {self.name}")
        waits = [asyncio.create_task(event.wait()) for event in (self._is_up, self._gone)]
        try:
            await asyncio.wait(waits, timeout=HELLO_WITHIN, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            if not self.up and (carrier := self._part()):
                await carrier.kill()
        if not self.up:
            self.problem = self.problem or f"no answer within {HELLO_WITHIN:g} s"
        return self.up

    def _argv(self) -> list[str]:
        command = [sys.executable, "-I", "-S", node_agent.__file__, str(self._folder)]
        return self._node_launcher.argv(self.name, command)

    async def _listen(self, carrier: Carrier) -> None:
        """Note the end of what carries the agent."""
        no = await carrier.over()
        if carrier is self._carrier:
            self._end(no or ("its connection ended" if self.up else f"the way to it ended; see {self._log}"))

    def _end(self, problem: str) -> None:
        self.problem = self.problem or problem
        self._gone.set()

    def _part(self) -> Carrier | None:
        """Have no agent any more; return what carried it."""
        if self._line:
            self.listener.dismiss(self._line)
        carrier, self._carrier, self._line = self._carrier, None, None
        return carrier

    def _hear(self, word: FromAgent, frames: list[bytes]) -> None:
        match word:
            case Relayed(exchange=exchange, peer=peer):
                if heard := self._exchanges.get(exchange):
                    heard(peer, frames)
            case Ended(number=number, code=code, why=why, begun=begun):
                if process := self._processes.pop(number, None):
                    process.ended(code, why, begun)
            case Begun(number=number):
                if process := self._processes.get(number):
                    process.waits = False
            case Hello(facts=facts):
                self._greet(facts)

    def _greet(self, facts: HostFacts) -> None:
        self.facts = facts
        self._is_up.set()
        self._tell(Environment(environment(os.environ)))
        if self._keep:
            self._tell(self._keep)
        for word in self._opened:
            self._tell(word)

    async def _lost(self) -> None:
        self._is_up.clear()
        carrier = self._part()
        log.warning("host %s is lost: %s", self.name, self.problem)
        self._on_change(self.name, self.problem)
        processes, self._processes = self._processes, {}
        for process in processes.values():
            process.ended(1, f"its host {self.name} was lost: {self.problem}")
        losses, self._losses = self._losses, []
        for on_loss in losses:
            on_loss(f"host {self.name} was lost: {self.problem}")
        if carrier:
            await carrier.kill()

    def _tell(self, word: ToAgent) -> None:
        if self._line:
            self._line.send(word)
