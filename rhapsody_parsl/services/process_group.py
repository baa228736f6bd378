"""The processes of one start of a replica: the head, and a member on each further node; they live and die as one."""

import asyncio
from collections.abc import Callable

from rhapsody_parsl.hosts.process import Backend
from rhapsody_parsl.wire.engine_messages import Rendezvous

__all__ = ("ProcessGroup",)


class ProcessGroup:
    """The head comes first; once it has said where to meet, the members follow. Once one has ended, stop the others.

    Args:
        head: The process that answers.
        members: Makes the process of each further node, by the node's name.

    Attributes:
        blamed: The process that ended first; the head while none has.
        ended: How the first end came, for people, once it has.
    """

    def __init__(self, head: Backend, members: Callable[[Rendezvous], dict[str, Backend]]) -> None:
        self.blamed, self._members = head, members
        self._processes = [head]
        self._runs: list[asyncio.Task[None]] = []
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._stopping = False
        self._begin(head, "")

    def meet(self, place: Rendezvous) -> None:
        """Start the members."""
        if not self._stopping:
            for node, member in self._members(place).items():
                self._processes.append(member)
                self._begin(member, f"its part on node {node} ended: ")

    async def stop(self) -> None:
        """End all; returns when they are gone. Idempotent."""
        self._stopping = True
        await asyncio.gather(*(process.stop() for process in self._processes))
        await asyncio.gather(*self._runs)

    def _begin(self, process: Backend, whose: str) -> None:
        self._runs.append(asyncio.create_task(self._run(process, whose)))

    async def _run(self, process: Backend, whose: str) -> None:
        try:
            await process.start()
            if self._stopping:
                await process.stop()
            reason = await process.wait()
        except Exception as problem:  # noqa: BLE001 - whatever it is, its replica waits for this end
            reason = f"it could not be started: {problem}"
        if not self.ended.done():
            self.blamed = process
            self.ended.set_result(f"{whose}{reason}")
