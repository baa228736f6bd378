"""Tells OpenTelemetry how much nodes and GPUs work."""

from opentelemetry.metrics import Meter

from rhapsody_parsl.hosts.probe import GB
from rhapsody_parsl.record.entries import BlockJoined, NodesUsed

__all__ = ("NodeMeters",)


class NodeMeters:
    """The gauges.

    Args:
        meter: Makes them.
    """

    def __init__(self, meter: Meter) -> None:
        self._cpu = meter.create_gauge("rhapsody.node.cpu", "1", "Part of the time that the cores of a node worked")
        self._memory = meter.create_gauge("rhapsody.node.memory", "By", "Memory of a node that is used")
        self._busy = meter.create_gauge("rhapsody.gpu.busy", "1", "Part of the time that a GPU worked")
        self._gpu_memory = meter.create_gauge("rhapsody.gpu.memory", "By", "Memory of a GPU that is used")
        self._names: dict[str, list[str]] = {}

    def take(self, executor: str, entry: BlockJoined | NodesUsed) -> None:
        """Tell what an entry of the record says.

        Args:
            executor: Its label.
            entry: The entry.
        """
        if isinstance(entry, BlockJoined):
            self._names[entry.block] = [node.name for node in entry.nodes]
            return
        names = self._names.get(entry.block, [])
        for node in entry.nodes:
            where = {"executor": executor, "block": entry.block, "node": names[node.node]}
            self._cpu.set(node.cpu, where)
            self._memory.set(node.memory * GB, where)
            for number, (busy, memory) in enumerate(node.gpus):
                self._busy.set(busy, {**where, "gpu": number})
                self._gpu_memory.set(memory * GB, {**where, "gpu": number})
