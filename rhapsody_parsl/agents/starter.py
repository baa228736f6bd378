"""How node agents come to their hosts: many by one step of the batch system, else one by one, a few at a time."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path

from rhapsody_parsl.agents.carrier import Carried, Carrier
from rhapsody_parsl.agents.listener import AgentListener
from rhapsody_parsl.agents.step import Step
from rhapsody_parsl.cluster.node_launcher import NodeLauncher

__all__ = ("Carry", "Starter")

_AT_ONCE = 64
"""Hosts that are started alone at once: each takes a process of the launcher's here."""
_JOIN_WITHIN = 2.0
"""Seconds that a step waits for further hosts: those of a step that ended are not lost in the same moment."""
_WIDEST = 4096
"""Hosts of a step: their names are one argument, and the kernel takes 128 KiB."""

Carry = Callable[[str, str], Awaitable[Carried]]
"""Takes a host, and the name with which its agent is to come. Raises `OSError` where nothing could be started."""


class Starter:
    """Starts the carriers of a block.

    Args:
        launcher: The way to the hosts.
        folder: The private one there.
        logs: For what agents complain of.
        listener: Where they come in.
        hosts: How many there are.

    Attributes:
        kind: Of the launcher.
        in_steps: Whether it has steps for many hosts.
        turn: To be had by who starts alone.
    """

    def __init__(
        self, launcher: NodeLauncher, folder: Path, logs: Path, listener: AgentListener, *, hosts: int = 1
    ) -> None:
        self._launcher, self._folder, self._logs, self._listener = launcher, folder, logs, listener
        self.kind, self.in_steps = launcher.kind, bool(launcher.step)
        self.turn = asyncio.Semaphore(_AT_ONCE)
        self._hosts, self._joining, self._all_joined = hosts, dict[str, str](), asyncio.Event()
        self._departure: asyncio.Task[dict[str, Carried]] | None = None

    async def alone(self, host: str, name: str) -> Carried:
        """Start what carries one agent.

        Raises:
            OSError: It could not be started.
            Unreachable: There is no way to the host.
        """
        return await self._start({host: name}, self._logs / f"node-agent-{host}.log")

    async def together(self, host: str, name: str) -> Carried:
        """Start what carries this agent, and those of others who ask in the same moment.

        Raises:
            OSError: It could not be started.
            Unreachable: There is no way to one of the hosts.
        """
        self._joining[host] = name
        if len(self._joining) == self._hosts:
            self._all_joined.set()
        if self._departure is None:
            self._departure = asyncio.create_task(self._depart(), name="start of a step")
        carried = await asyncio.shield(self._departure)
        return carried[host]

    async def _depart(self) -> dict[str, Carried]:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_JOIN_WITHIN):
                await self._all_joined.wait()
        names, self._joining, self._departure = self._joining, {}, None
        self._all_joined.clear()
        if len(names) == 1:
            ((host, name),) = names.items()
            return {host: await self.alone(host, name)}
        carried: dict[str, Carried] = {}
        for part in _parts(names):
            carrier = await self._start(part, self._logs / "node-agents.log")
            carried |= dict(Step(carrier, part).members)
        return carried

    async def _start(self, names: Mapping[str, str], log: Path) -> Carrier:
        first = self._listener.settings(names)
        return await Carrier.start(self._launcher, list(names), self._folder, log=log, first=first)


def _parts(names: Mapping[str, str]) -> Sequence[dict[str, str]]:
    """Return the names in parts, each for a step."""
    items = iter(names.items())
    return list(iter(lambda: dict(islice(items, _WIDEST)), {}))
