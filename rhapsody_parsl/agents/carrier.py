"""What carries a node agent to its host: a client of the batch system's, or ssh, whose streams are its lifeline."""

import asyncio
import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from rhapsody_parsl.cluster.node_launcher import environment
from rhapsody_parsl.hosts import limits

__all__ = ("Carrier",)

_LEAVE_WITHIN = 12.0
_LINE_LIMIT = 1 << 16


class _Said(msgspec.Struct, frozen=True):
    """What comes on the way back, if anything: why the agent cannot be there, or leaves."""

    no: str


_decode = msgspec.json.Decoder(_Said).decode


class Carrier:
    """A process of this host that ends with the agent, and the agent with it.

    Args:
        process: Started, with pipes.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, argv: Sequence[str], log: Path, first: bytes) -> "Carrier":
        """Start one.

        Args:
            argv: Program and arguments.
            log: For what it and the agent complain of.
            first: What the agent is told first.

        Raises:
            OSError: It could not be started.
        """
        limits.check_room()
        with log.open("ab") as complaints:
            process = await asyncio.create_subprocess_exec(
                *limits.as_the_job(argv), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
                stderr=complaints, env=environment(os.environ), limit=_LINE_LIMIT, start_new_session=True,
            )  # fmt: skip
        if process.stdin:
            process.stdin.write(first)
        return cls(process)

    async def over(self) -> str:
        """Wait until no agent can be there any more; return what it says of that, "" for nothing."""
        no = ""
        while self._process.stdout:
            try:
                line = await self._process.stdout.readline()
            except ValueError:  # longer than ours are; asyncio has dropped it
                continue
            if not line:
                break
            no = understood(line) or no
        return no

    async def stop(self) -> None:
        """Have the agent leave with all that it has; returns when it is gone, or 12 s later."""
        if self._process.stdin:
            self._process.stdin.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LEAVE_WITHIN):
                await self._process.wait()
        await self.kill()

    async def kill(self) -> None:
        """Kill it and close its pipes: what is frozen may hold their other ends, and asyncio waits for those."""
        self._process._transport.close()  # type: ignore[attr-defined]  # asyncio has no other way
        await self._process.wait()


def understood(line: bytes) -> str:
    """Return what a line says; "" when it is none of ours, as a login's greeting."""
    try:
        return _decode(line).no
    except Exception:  # noqa: BLE001 - what bytes of anybody's can raise, msgspec does not list
        return ""
