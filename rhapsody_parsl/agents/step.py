"""One step of the batch system for the node agents of many hosts, as each of these hosts sees it."""

import asyncio
import contextlib
import logging
from collections.abc import Mapping

from rhapsody_parsl.agents.carrier import LEAVE_WITHIN, Carrier, Said
from rhapsody_parsl.hosts.background import spawn

__all__ = ("Member", "Step")

log = logging.getLogger(__name__)

_OF_THE_LOST = 1.0
"""Seconds that a step has to end when all have left but those that were lost: nobody hears of them."""


class Step:
    """A carrier of many agents; it is stopped when the last of its hosts has no more use for it.

    Args:
        carrier: Started.
        hosts: Where it carries agents to.

    Attributes:
        members: One for each host.
        failed: Whether it has ended, or lost most of its agents, or has one that does not know its host. Slurm kills
            all of a step when one of its nodes does not answer to the launch, and `srun` stays for minutes.
    """

    def __init__(self, carrier: Carrier, hosts: Mapping[str, str]) -> None:
        self._carrier, self.trouble = carrier, f"; see {carrier.log}"
        self.members = {host: Member(self, host) for host in hosts}
        self._present, self._untold = set(hosts), set(hosts)
        self.failed = False
        self._ear = spawn(self._listen(), "step of node agents")

    def told(self, host: str) -> None:
        """An agent has what it was to be told."""
        self._untold.discard(host)
        if not self._untold:
            self._carrier.told()

    async def stop(self, host: str) -> None:
        """A host has no more use for it, and its agent knows; the last one sees it end."""
        self._present.discard(host)
        if not self._present:
            await self._stop()

    async def lose(self, host: str) -> None:
        """An agent is lost: if it lives, it finds out by itself."""
        self.members[host].lost = True
        self.failed |= 2 * len(self._lost()) > len(self.members)
        self.told(host)
        await self.stop(host)

    async def _stop(self) -> None:
        self._carrier.hang_up()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_WITHIN):
                await asyncio.gather(*(member.gone.wait() for member in self.members.values() if not member.lost))
        await self._carrier.stop(_OF_THE_LOST if self._lost() else LEAVE_WITHIN)

    def _lost(self) -> list[str]:
        return [host for host, member in self.members.items() if member.lost]

    async def _listen(self) -> None:
        async for said in self._carrier.said():
            if member := self.members.get(said.host):
                member.hear(said)
            else:
                log.warning("an agent of a step: %s", said.no)
                self.failed = True
        self.failed = True
        for member in self.members.values():
            member.gone.set()


class Member:
    """The agent of one host in a step.

    Args:
        step: The step.
        host: The host.

    Attributes:
        gone: Set when it can be there no more.
        lost: Whether it was lost.
    """

    def __init__(self, step: Step, host: str) -> None:
        self._step, self._host, self._no = step, host, ""
        self.gone, self.lost = asyncio.Event(), False
        self.trouble = step.trouble  # that of many

    @property
    def failed(self) -> bool:
        """Whether the step has."""
        return self._step.failed

    def hear(self, said: Said) -> None:
        """It has said something."""
        self._no = said.no or self._no
        if said.left:
            self.gone.set()

    async def over(self) -> str:
        """Wait until the agent can be there no more; return what it says of that, "" for nothing."""
        await self.gone.wait()
        return self._no

    def told(self) -> None:
        """The agent has what it was to be told."""
        self._step.told(self._host)

    async def stop(self) -> None:
        """The agent leaves; returns at once while others are there."""
        await self._step.stop(self._host)

    async def kill(self) -> None:
        """The agent counts no more."""
        await self._step.lose(self._host)
