"""The block's other hosts as the pilot sees them: a node agent on each, watched, and started again after a loss."""

import asyncio
import contextlib
import json
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from rhapsody_parsl.cluster.node_launcher import NodeLauncher, environment
from rhapsody_parsl.hosts import limits, node_agent
from rhapsody_parsl.hosts.orders import Order, Start
from rhapsody_parsl.hosts.probe import HostFacts

__all__ = ("Host", "RemoteProcess")

log = logging.getLogger(__name__)

_LINE_LIMIT = 1 << 22
_FIRST_PAUSE, _LONGEST_PAUSE = 2.0, 60.0
_HELLO_WITHIN = 60.0
_LEAVE_WITHIN = 12.0


class Word(msgspec.Struct, frozen=True):
    """What a node agent says in a line.

    Attributes:
        hello: Its first word: what the host offers.
        no: Its first and last word: why it cannot be there.
        ended: The number of a process that has ended.
        code: Its exit code.
        why: Why it could not be started.
        begun: The task that each worker that ended with it began last.
    """

    hello: HostFacts | None = None
    no: str = ""
    ended: int = 0
    code: int = 1
    why: str = ""
    begun: dict[str, int] = {}


_decode = msgspec.json.Decoder(Word).decode


def understood(line: bytes) -> Word | None:
    """Return what a line says; None when it is none of ours, as a login's greeting."""
    try:
        return _decode(line)
    except Exception:  # noqa: BLE001 - what bytes of anybody's can raise, msgspec does not list
        return None


class RemoteProcess:
    """A guarded process on another host; `reason` says why when its end is not its own.

    Attributes:
        returncode: None while it lives.
        reason: Why it ended, when that is no exit code of its own.
        begun: The task that each worker that ended with it began last.
    """

    def __init__(self, tell: Callable[[Literal["release", "kill"]], None]) -> None:
        self._tell = tell
        self._over = asyncio.Event()
        self.returncode: int | None = None
        self.reason = ""
        self.begun: dict[str, int] = {}

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
        period: Seconds between heartbeats.
        threshold: Seconds of silence after which it counts as lost.
        files: Written there first, private.
        on_change: Called with its name and why when it is lost, with its name and "" when it is back.
    """

    def __init__(  # noqa: PLR0913 - as many facts, each from somewhere else
        self,
        name: str,
        *,
        node_launcher: NodeLauncher,
        folder: Path,
        log: Path,
        period: float,
        threshold: float,
        files: Mapping[str, str],
        on_change: Callable[[str, str], None],
    ) -> None:
        self.name, self._on_change = name, on_change
        self._node_launcher, self._folder, self._log, self._files = node_launcher, folder, log, files
        self._period, self._threshold = period, threshold
        self._client: asyncio.subprocess.Process | None = None
        self._processes: dict[int, RemoteProcess] = {}
        self._count = 0
        self._life: asyncio.Task[None] | None = None
        self._losses: list[Callable[[str], None]] = []
        self.facts: HostFacts | None = None
        self.problem = ""
        self._is_up = asyncio.Event()

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
        client, self._client = self._client, None
        self._is_up.clear()
        if client is None or client.stdin is None:
            return
        client.stdin.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LEAVE_WITHIN):
                await client.wait()
        await _kill(client)

    def start_process(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str | None],
        log: Path,
        files: Mapping[str, str],
        marks: str = "",
    ) -> RemoteProcess:
        """Start a guarded process there.

        Args:
            argv: The guard's options and the command.
            env: Its own variables; all others are the pilot's. None removes one.
            log: For its output, in a folder that both hosts see.
            files: Private files written before.
            marks: Files there that tell what workers began last (see `wire.mark`), a pattern.
        """
        self._count += 1
        number = self._count
        process = RemoteProcess(lambda what: self._tell({"do": what, "id": number}))
        if not self.up:
            process.ended(1, f"its host {self.name} is lost: {self.problem}")
            return process
        self._processes[number] = process
        order: Start = {
            "do": "start",
            "id": number,
            "argv": list(argv),
            "env": environment(os.environ),
            "own": dict(env),
            "files": dict(files),
            "marks": marks,
            "log": str(log),
            "cwd": os.getcwd(),
        }
        self._tell(order)
        return process

    def watch(self, on_loss: Callable[[str], None]) -> Callable[[], None]:
        """Call back with the reason when the host is lost; return what ends that."""
        self._losses.append(on_loss)
        return lambda: self._losses.remove(on_loss) if on_loss in self._losses else None

    # --- its life ------------------------------------------------------------------------------------------------

    async def _live(self, up: bool) -> None:
        """Listen to the node agent; when it is lost say so, and try to be there again."""
        pause = _FIRST_PAUSE
        while True:
            if up:
                pause = _FIRST_PAUSE
                await self._listen()
                await self._lost()
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
            up = await self._start_agent()
            if up:
                self._on_change(self.name, "")

    async def _start_agent(self) -> bool:
        """Start a node agent and wait for its first line."""
        self.problem = ""
        try:
            client = await self._spawn()
        except OSError as problem:
            self.problem = str(problem)
            return False
        hello: Word | None = None
        try:
            async with asyncio.timeout(_HELLO_WITHIN):
                while (hello := await _read(client)) and not (hello.hello or hello.no):
                    pass  # it says something that reads like a message, and is none
        except TimeoutError:
            self.problem = f"no answer within {_HELLO_WITHIN:g} s"
        finally:
            if hello is None or hello.hello is None:
                await _kill(client)
        if hello is None or hello.hello is None:
            self.problem = self.problem or (hello.no if hello else "") or f"the way to it ended; see {self._log}"
            return False
        self.facts, self._client = hello.hello, client
        self._is_up.set()
        self._tell({"do": "files", "files": dict(self._files)})
        self._tell({"do": "environment", "env": environment(os.environ)})
        return True

    async def _spawn(self) -> asyncio.subprocess.Process:
        command = [
            sys.executable,
            "-I",
            "-S",
            node_agent.__file__,
            "--silence",
            str(self._threshold),
            str(self._folder),
        ]
        argv = limits.as_the_job(self._node_launcher.argv(self.name, command))
        limits.check_room()
        with self._log.open("ab") as complaints:
            return await asyncio.create_subprocess_exec(
                *argv, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=complaints,
                env=environment(os.environ), limit=_LINE_LIMIT, start_new_session=True,
            )  # fmt: skip

    async def _listen(self) -> None:
        """Take what the node agent says until it ends or is silent for too long."""
        client = self._client
        if client is None:
            return
        beat = asyncio.create_task(self._beat())
        try:
            while message := await self._hear(client):
                self._note(message)
            self.problem = "its connection ended"
        except TimeoutError:
            self.problem = f"it was silent for {self._threshold:g} s"
        finally:
            beat.cancel()

    async def _hear(self, client: asyncio.subprocess.Process) -> Word | None:
        async with asyncio.timeout(self._threshold):
            return await _read(client)

    def _note(self, message: Word) -> None:
        if process := self._processes.pop(message.ended, None):
            process.ended(message.code, message.why, message.begun)

    async def _beat(self) -> None:
        while True:
            self._tell({"do": "ping"})
            await asyncio.sleep(self._period)

    async def _lost(self) -> None:
        client, self._client = self._client, None
        self._is_up.clear()
        log.warning("host %s is lost: %s", self.name, self.problem)
        self._on_change(self.name, self.problem)
        processes, self._processes = self._processes, {}
        for process in processes.values():
            process.ended(1, f"its host {self.name} was lost: {self.problem}")
        losses, self._losses = self._losses, []
        for on_loss in losses:
            on_loss(f"host {self.name} was lost: {self.problem}")
        if client:
            await _kill(client)

    def _tell(self, order: Order) -> None:
        if self._client and self._client.stdin and not self._client.stdin.is_closing():
            self._client.stdin.write(json.dumps(order).encode() + b"\n")


async def _kill(client: asyncio.subprocess.Process) -> None:
    """Kill it and close its pipes: a process that is frozen may hold their other ends, and asyncio waits for those."""
    client._transport.close()  # type: ignore[attr-defined]  # asyncio has no other way
    await client.wait()


async def _read(client: asyncio.subprocess.Process) -> Word | None:
    """Return the next message, None at the end; lines that are none are passed over, however long."""
    while client.stdout:
        try:
            line = await client.stdout.readline()
        except ValueError:  # longer than ours are; asyncio has dropped it
            continue
        if not line:
            break
        if message := understood(line):
            return message
    return None
