"""What carries node agents to their hosts: a client of the batch system's, or ssh, whose streams are their lifeline."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from rhapsody_parsl.agents import node_agent
from rhapsody_parsl.cluster.node_launcher import NodeLauncher, environment
from rhapsody_parsl.hosts import limits, staging
from rhapsody_parsl.hosts.folder import write_private

__all__ = ("LEAVE_WITHIN", "Carried", "Carrier", "Said")

LEAVE_WITHIN = 12.0
"""Seconds that agents have to leave with all that they started."""
_LINE_LIMIT = 1 << 16
_LONGEST_COMPLAINT = 400
"""Bytes."""


class Said(msgspec.Struct, frozen=True):
    """What comes on the way back, if anything.

    Attributes:
        host: Of whom it is said; "" where that is not known.
        no: Why the agent cannot be there, or leaves.
        left: Nothing is left of it.
    """

    host: str = ""
    no: str = ""
    left: bool = False


_decode = msgspec.json.Decoder(Said).decode


class Carried(Protocol):
    """One agent and what carries it, alone or with others."""

    @property
    def trouble(self) -> str:
        """What it and the way to it complained of last, and where all of that is: the end of a sentence."""

    @property
    def failed(self) -> bool:
        """Whether the way has failed, and another one may not."""

    async def over(self) -> str:
        """Wait until the agent can be there no more; return what it says of that, "" for nothing."""

    def told(self) -> None:
        """The agent has what it was to be told, or does not count any more."""

    async def stop(self) -> None:
        """Have it leave with all that it has; returns when it is gone, or 12 s later."""

    async def kill(self) -> None:
        """End it without an order, as far as that is possible from here."""


class Carrier:
    """A process of this host that ends with the agents that it carries, and they with it.

    Args:
        process: Started, with pipes.
        log: Its log.
        file: What the agents are told, where they read no standard input.
        logged: Bytes that its log had before.
    """

    failed = False

    def __init__(self, process: asyncio.subprocess.Process, log: Path, file: Path | None, logged: int = 0) -> None:
        self._process, self.log, self._file, self._logged = process, log, file, logged

    @classmethod
    async def start(
        cls, launcher: NodeLauncher, hosts: Sequence[str], folder: Path, *, log: Path, first: bytes
    ) -> "Carrier":
        """Start one.

        Args:
            launcher: The way there.
            hosts: Where to, several in one step.
            folder: The private one there.
            log: For what it and the agents complain of, where all hosts see it.
            first: What the agents are told first.

        Raises:
            OSError: It could not be started.
            Unreachable: There is no way to one of the hosts.
        """
        limits.check_room()
        python, script = (staging.original(path, os.environ) for path in (sys.executable, node_agent.__file__))
        command = [python, "-I", "-S", script, str(folder)]
        file = log.absolute().with_suffix(f".{os.urandom(4).hex()}") if launcher.by_file else None
        if file:
            write_private(str(file), first.decode())
            command += ["--told", str(file)]
        argv = launcher.argv(hosts[0], command) if len(hosts) == 1 else launcher.step_argv(hosts, command)
        logged = _size(log)
        with log.open("ab") as complaints:
            process = await asyncio.create_subprocess_exec(
                *limits.as_the_job(argv), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
                stderr=complaints, env=environment(os.environ), limit=_LINE_LIMIT, start_new_session=True,
            )  # fmt: skip
        if process.stdin and not file:
            process.stdin.write(first)
        return cls(process, log, file, logged)

    async def said(self) -> AsyncIterator[Said]:
        """Yield what the agents say, until none of them can be there any more."""
        while self._process.stdout:
            try:
                line = await self._process.stdout.readline()
            except ValueError:  # longer than ours are; asyncio has dropped it
                continue
            if not line:
                break
            if said := understood(line):
                yield said

    @property
    def trouble(self) -> str:
        """What it or the agent complained of last, and where all of that is: the end of a sentence."""
        lines = [""]
        with contextlib.suppress(OSError), self.log.open("rb") as complaints:
            complaints.seek(max(self._logged, _size(self.log) - _LONGEST_COMPLAINT))
            lines = complaints.read().decode(errors="replace").split("\n")
        last = next((f": {line.strip()}" for line in reversed(lines) if line.strip()), "")
        return f"{last}; see {self.log}"

    async def over(self) -> str:
        """Wait until no agent can be there any more; return what it says of that, "" for nothing."""
        no = ""
        async for said in self.said():
            no = said.no or no
        return no

    def told(self) -> None:
        """All agents have what they were to be told; idempotent."""
        if self._file:
            self._file.unlink(missing_ok=True)

    def hang_up(self) -> None:
        """End the agents' lifeline."""
        if self._process.stdin:
            self._process.stdin.close()

    async def stop(self, within: float = LEAVE_WITHIN) -> None:
        """Have the agents leave with all that they have; returns when they are gone, or some seconds later."""
        self.hang_up()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._process.wait()
        await self.kill()

    async def kill(self) -> None:
        """Kill it and close its pipes: what is frozen may hold their other ends, and asyncio waits for those."""
        self.told()
        self._process._transport.close()  # type: ignore[attr-defined]  # asyncio has no other way
        await self._process.wait()


def _size(log: Path) -> int:
    return log.stat().st_size if log.exists() else 0


def understood(line: bytes) -> Said | None:
    """Return what a line says; None when it is none of ours, as a login's greeting."""
    try:
        return _decode(line)
    except Exception:  # noqa: BLE001 - what bytes of anybody's can raise, msgspec does not list
        return None
