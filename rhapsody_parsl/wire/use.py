"""How much nodes work, as a pilot tells it: only those of which something has changed."""

import msgspec

from rhapsody_parsl.wire.tagged import Tagged

__all__ = ("GpuUse", "NodeUse", "Used")


class GpuUse(msgspec.Struct, frozen=True, kw_only=True):
    """A GPU.

    Attributes:
        busy: Part of the time that it worked, 0 to 1.
        memory: GB of its memory that are used.
    """

    busy: float
    memory: float


class NodeUse(msgspec.Struct, frozen=True, kw_only=True):
    """A node, as the operating system sees it; programs that are not of the block count, too.

    Attributes:
        cpu: Part of the time that its cores worked, 0 to 1.
        memory: GB of the host's memory that are used.
        gpus: Its GPUs, in the order of their numbers in leases; none where nobody says how much they work.
    """

    cpu: float = 0.0
    memory: float = 0.0
    gpus: tuple[GpuUse, ...] = ()


class Used(Tagged, frozen=True):
    """How much these nodes worked in the last seconds.

    Attributes:
        nodes: Those of which something has changed.
        seconds: How many that were.
    """

    nodes: dict[str, NodeUse]
    seconds: float = 0.0
