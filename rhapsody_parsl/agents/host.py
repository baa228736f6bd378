"""The block's other hosts as the pilot sees them: a node agent on each, watched, and started again after a loss."""

import asyncio
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rhapsody_parsl.agents import words
from rhapsody_parsl.agents.carrier import Carried
from rhapsody_parsl.agents.line import Line
from rhapsody_parsl.agents.listener import AgentListener
from rhapsody_parsl.agents.remote_process import RemoteProcess
from rhapsody_parsl.agents.shelf import Abridger
from rhapsody_parsl.agents.starter import Carry, Starter
from rhapsody_parsl.agents.words import (
    Begun,
    DropValues,
    Ended,
    Environment,
    FetchValue,
    FromAgent,
    GivesValues,
    GiveValues,
    HangUp,
    Hello,
    KeepValues,
    Leave,
    Left,
    Open,
    Relayed,
    SendValue,
    Start,
    ToAgent,
    Uses,
    ValueFetched,
)
from rhapsody_parsl.cluster.node_launcher import Unreachable, environment
from rhapsody_parsl.hosts import limits
from rhapsody_parsl.hosts.background import spawn
from rhapsody_parsl.hosts.probe import HostFacts
from rhapsody_parsl.hosts.use import HostUse

__all__ = ("Host", "OfValues")

log = logging.getLogger(__name__)

_FIRST_PAUSE, _LONGEST_PAUSE = 2.0, 60.0

Heard = Callable[[str, list[bytes]], None]
"""Takes the name of a process of the host, and the frames of what it says; none when it has left."""
OfValues = GivesValues | ValueFetched | Relayed
"""What an agent says of values."""


class Host:
    """Another host of the block.

    Args:
        name: As the batch system calls it.
        starter: Brings its agent there.
        listener: Where the agent comes in.
        on_change: Called with its name and why when it is lost, with its name and "" when it is back.

    Attributes:
        facts: What it offers, as its agent said last.
        counted_on: What the block takes it to offer: as its agent said first, or as is assumed of one that is late.
        use: How much it works, as its agent said last; nothing while it is lost.
        problem: Why it is not up.
        listener: As given.
    """

    def __init__(
        self,
        name: str,
        *,
        starter: Starter,
        listener: AgentListener,
        on_change: Callable[[str, str], None],
    ) -> None:
        self.name, self._on_change = name, on_change
        self._starter, self.listener = starter, listener
        self._carrier: Carried | None = None
        self._line: Line[FromAgent] | None = None
        self._abridger = Abridger(listener.repeats)
        self._exchanges: dict[str, Heard] = {}
        self._opened: list[Open] = []
        self._keep: KeepValues | None = None
        self._of_values: Callable[[Host, OfValues, list[bytes]], None] | None = None
        self._processes: dict[int, RemoteProcess] = {}
        self._count, self._say = 0, self._tell  # the same for all processes
        self._first: asyncio.Task[bool] | None = None
        self._life: asyncio.Task[None] | None = None
        self._losses: list[Callable[[str], None]] = []
        self.facts: HostFacts | None = None
        self.counted_on: HostFacts | None = None
        self._is_late = False
        self.use = HostUse()
        self.problem = self._last_problem = ""
        self._is_up = asyncio.Event()
        self._gone = asyncio.Event()
        self._ear: asyncio.Task[None] | None = None

    @property
    def node_launcher(self) -> str:
        """How it is reached."""
        return self._starter.kind

    @property
    def in_steps(self) -> bool:
        """Whether its agent may come by one step with those of others."""
        return self._starter.in_steps

    @property
    def up(self) -> bool:
        """Whether it can be used."""
        return self._is_up.is_set()

    async def wait_up(self) -> None:
        """Wait until it can be used."""
        await self._is_up.wait()

    def start(self) -> asyncio.Task[bool]:
        """Start the node agent; False, with `problem` set, when it does not answer. Later ends and returns are told.

        Hosts that are started at the same time come by one step of the batch system, where it has such.
        """
        self._first = asyncio.create_task(self._start_agent(together=True), name=f"start {self.name}")
        self._life = spawn(self._live(self._first), f"watch {self.name}")
        return self._first

    def go_on_without(self, like: HostFacts) -> None:
        """Begin the block before it has come; whether it comes is told.

        Args:
            like: What it is taken to offer.
        """
        self.counted_on, self._is_late = like, True
        if self._first and self._first.done():
            self._tell_late()

    async def stop(self) -> None:
        """End all there; returns when it is gone, or cannot be heard any more. Idempotent."""
        if self._first and self._life:
            self._first.cancel()
            self._life.cancel()
            await asyncio.gather(self._first, self._life, return_exceptions=True)
            self._first = self._life = None
        self._tell(Leave())
        self._is_up.clear()
        if self._line:
            self._line.flush()
        carrier = self._part()
        if carrier:
            await carrier.stop()

    # --- processes and what they say -----------------------------------------------------------------------------

    def start_process(  # noqa: PLR0913 - what a process is started with
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str | None],
        log: Path | str,
        files: Mapping[str, str],
        marks: str = "",
        name: str = "",
        on_end: Callable[[RemoteProcess], None] | None = None,
    ) -> RemoteProcess:
        """Start a guarded process there.

        Args:
            argv: The guard's options and the command.
            env: Its own variables; all others are the pilot's. None removes one.
            log: For its output, in a folder that both hosts see.
            files: Private files written before.
            marks: Files there that tell what workers began last (see `mark`), a pattern.
            name: What it will call itself on an exchange when it is up; "" for one that is to be started at once.
            on_end: Called with the process when it has ended, in a turn of the loop of its own.
        """
        self._count += 1
        number = self._count
        process = RemoteProcess(number, self._say, name, on_end)
        if not self.up:
            process.ended(1, f"its host {self.name} is lost: {self.problem}")
            return process
        self._processes[number] = process
        self._tell(Start(number, list(argv), dict(env), dict(files), marks, str(log), os.getcwd(), name))
        return process

    def processes_of(self, on_end: Callable[[RemoteProcess], None]) -> list[RemoteProcess]:
        """Return the processes there whose ends are told to this one: who has many keeps none of them."""
        return [process for process in self._processes.values() if process.on_end is on_end]

    def watch(self, on_loss: Callable[[str], None]) -> Callable[[], None]:
        """Call back with the reason when the host is lost; return what ends that."""
        self._losses.append(on_loss)
        return lambda: self._losses.remove(on_loss) if on_loss in self._losses else None

    def open(self, exchange: str, heard: Heard, after: str = "") -> None:
        """Let processes there speak on an exchange, also after a loss; idempotent.

        Args:
            exchange: Its name.
            heard: Takes what they say; no frames when a process speaks no more, after all that it said.
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

    def send_tasks(self, exchange: str, peer: str, frames: Sequence[bytes]) -> None:
        """Send a message whose payloads may be equal to others', in part."""
        if len(frames) == 1:
            self.send(exchange, peer, frames)
        elif self._line and self.up:
            self._line.send(*self._abridger.abridged(exchange, peer, frames))

    def hang_up(self, exchange: str, peer: str) -> None:
        """Hear a process no more: what it said was no message."""
        self._tell(HangUp(exchange, peer))

    def keep_values(self, keep: KeepValues, told: "Callable[[Host, OfValues, list[bytes]], None]") -> None:
        """Let processes there keep values by reference, also after a loss.

        Args:
            keep: What that takes.
            told: Takes what the agent says of values, and the frames of one that comes along.
        """
        self._keep, self._of_values = keep, told
        self._tell(keep)

    def tell_of_values(self, word: DropValues | GiveValues | FetchValue | SendValue) -> None:
        """Tell the agent something of values."""
        self._tell(word)

    # --- its life ------------------------------------------------------------------------------------------------

    async def _live(self, first: asyncio.Task[bool]) -> None:
        """Wait for the end of the node agent; when it is lost say so, and try to be there again."""
        pause, lost = _FIRST_PAUSE, None
        await asyncio.wait([first])
        up = self.up
        if problem := first.exception():
            self.problem = str(problem)
        if self._is_late:
            self._tell_late()
        while True:
            if up:
                pause = _FIRST_PAUSE
                await self._gone.wait()
                lost = await self._lost()
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
            together = bool(lost and lost.failed)  # a step that ended loses all its hosts
            try:
                up = await self._start_agent(together)
            except Unreachable as problem:  # there was a way before, and may be again
                self.problem, up = str(problem), False
            lost = None
            if up:
                self._on_change(self.name, "")

    def _tell_late(self) -> None:
        """The block has begun, and it is there now, or is lost."""
        problem = "" if self.up else self.problem or self._last_problem  # it may be tried again just now
        if problem:
            log.warning("host %s is not there, and is tried again: %s", self.name, problem)
        else:
            log.info("host %s is there, late", self.name)
        self._on_change(self.name, problem)

    async def _start_agent(self, together: bool) -> bool:
        """Start a node agent; alone, unless the batch system can start it with others and that does not fail."""
        if together and self._starter.in_steps:
            failed = await self._try(self._starter.together)
            if self.up or not failed:
                return self.up
        async with self._starter.turn:
            await self._try(self._starter.alone)
        return self.up

    async def _try(self, carry: Carry) -> bool:
        """Start a node agent and wait for its first word; return whether another way may do better."""
        self._last_problem, self.problem, self._gone = self.problem or self._last_problem, "", asyncio.Event()
        self._line, name = self.listener.expect(self.name, self._hear, self._end)
        self._abridger = Abridger(self.listener.repeats)  # the agent that comes has nothing yet
        try:
            self._carrier = carried = await carry(self.name, name)
        except OSError as problem:
            self.problem = str(problem)
            self._part()
            return True
        self._ear = spawn(self._listen(carried), f"carrier of {self.name}")
        waits = [asyncio.create_task(event.wait()) for event in (self._is_up, self._gone)]
        try:
            await asyncio.wait(waits, timeout=self.listener.hello_within, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self._part()
            await carried.stop()  # it may be there already
            raise
        finally:
            for wait in waits:
                wait.cancel()
            carried.told()
            if not self.up and (carrier := self._part()):
                await carrier.kill()
        if not self.up:
            self.problem = self.problem or f"no answer within {self.listener.hello_within:g} s{carried.trouble}"
        return carried.failed

    async def _listen(self, carrier: Carried) -> None:
        """Note the end of what carries the agent."""
        no = await carrier.over()
        if carrier is self._carrier:
            self._end(no or ("its connection ended" if self.up else f"the way to it ended{carrier.trouble}"))

    def _end(self, problem: str) -> None:
        self.problem = self.problem or problem
        self._gone.set()

    def _part(self) -> Carried | None:
        """Have no agent any more; return what carried it."""
        if self._line:
            self.listener.dismiss(self._line)
        carrier, self._carrier, self._line = self._carrier, None, None
        return carrier

    def _hear(self, word: FromAgent, frames: list[bytes]) -> None:
        match word:
            case GivesValues() | ValueFetched() | Relayed(exchange=words.VALUES):
                if self._of_values:
                    self._of_values(self, word, frames)
            case Relayed(exchange=exchange, peer=peer) | Left(exchange=exchange, peer=peer):
                if heard := self._exchanges.get(exchange):
                    heard(peer, frames)
            case Ended() | Begun():
                self._hear_of_process(word)
            case Uses() | Hello():
                self._learn(word)

    def _hear_of_process(self, word: Ended | Begun) -> None:
        if isinstance(word, Begun):
            if process := self._processes.get(word.number):
                process.waits = False
        elif ended := self._processes.pop(word.number, None):
            ended.ended(word.code, word.why, word.begun)

    def _learn(self, word: Uses | Hello) -> None:
        """Note how much it works; with its first word it is up."""
        if isinstance(word, Uses):
            self.use = word.use
            return
        self.counted_on = self.counted_on or word.facts
        if lacking := word.facts.lacking(self.counted_on):
            self._end(f"it has {lacking}")
            return
        self.facts = word.facts
        self._is_up.set()
        self._tell(Environment(environment(os.environ), limits.umask(), limits.soft()))
        if self._keep:
            self._tell(self._keep)
        for opened in self._opened:
            self._tell(opened)

    async def _lost(self) -> Carried | None:
        """Tell that it is lost; return what carried its agent."""
        self._is_up.clear()
        self.use = HostUse()
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
        return carrier

    def _tell(self, word: ToAgent) -> None:
        """Say something where it is up; what it is to know from the start it is told when it comes."""
        if self._line and self.up:
            self._line.send(word)
