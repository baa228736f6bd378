"""How much the nodes of a block work, for the driver: the pilot looks at its own host, node agents at theirs."""

import asyncio
from collections.abc import Callable, Mapping, Sequence

from rhapsody_parsl.agents.host import Host
from rhapsody_parsl.hosts.use import HostUse, HostWatch, every
from rhapsody_parsl.in_block.gpu_memory import GpuMemory
from rhapsody_parsl.runtimes.protocol import Node
from rhapsody_parsl.wire.use import GpuUse, NodeUse, Used

__all__ = ("BlockUse",)


class BlockUse:
    """Tells the driver what has changed; made on the event loop.

    Args:
        nodes: The block's.
        hosts: Its other hosts.
        send: Takes the message.
        memory: Notes what the GPUs have in use.
        period: Seconds between two looks; default by how many hosts there are.
    """

    def __init__(
        self,
        nodes: Sequence[Node],
        hosts: Mapping[str, Host],
        send: Callable[[Used], None],
        memory: GpuMemory,
        *,
        period: float | None = None,
    ) -> None:
        self._nodes, self._hosts, self._send, self._memory = nodes, hosts, send, memory
        self._period = every(len(hosts)) if period is None else period
        self._told: dict[str, HostUse] = {}
        own = [node for node in nodes if node.host not in hosts]
        gpus = [gpu for node in own for gpu in node.gpus]
        self._watch = HostWatch(own[0].gpu_vendor if own else "", gpus, self._period)

    async def serve(self) -> None:
        """Look from time to time."""
        while True:
            await asyncio.sleep(self._period)
            if changed := self.look():
                self._send(Used(changed, self._period))

    def look(self) -> dict[str, NodeUse]:
        """Return what has changed since the last time, by node."""
        self._watch.look()
        now = {node.name: self._of(node) for node in self._nodes}
        for name, use in now.items():
            self._memory.note(name, [used for _, used in use.gpus])
        changed = {name: _as_told(use) for name, use in now.items() if use != self._told.get(name)}
        self._told = now
        return changed

    def close(self) -> None:
        """Look no more; idempotent."""
        self._watch.close()

    def _of(self, node: Node) -> HostUse:
        host = self._hosts.get(node.host)
        return host.use if host else self._watch.use(node.real_cores, node.gpus)


def _as_told(use: HostUse) -> NodeUse:
    return NodeUse(cpu=use.cpu, memory=use.memory, gpus=tuple(GpuUse(busy=busy, memory=gb) for busy, gb in use.gpus))
