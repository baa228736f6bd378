"""What people are shown of an executor: the same within its process, and at the other end of its control socket."""

from typing import Literal, NamedTuple

import msgspec

from rhapsody_parsl.wire.reports import NodeFacts, RuntimeReport, ServiceReport, TaskCounts
from rhapsody_parsl.wire.states import ServiceState
from rhapsody_parsl.wire.totals import ExecutorTotals
from rhapsody_parsl.wire.use import NodeUse

__all__ = ("BlockState", "BlockView", "DoorLoad", "ExecutorView", "LeaseView", "ServiceStatus", "ShareView")

BlockState = Literal[
    "connected", "leaving",
    "unknown", "pending", "running", "cancelled", "completed", "failed", "timeout", "held", "missing", "scaled_in",
]  # fmt: skip
"""`connected` once its pilot said hello; `leaving` when it gets no more tasks; before that, as Parsl calls its job."""


class ShareView(NamedTuple):
    """What a lease holds of one node: the node's name, and ids of cores and GPUs."""

    node: str
    cores: tuple[int, ...]
    gpus: tuple[int, ...]


class LeaseView(msgspec.Struct, frozen=True, kw_only=True):
    """A lease that was out at the block's last report.

    Attributes:
        name: Of the app or the service that holds it.
        runtime: Whose it is.
        began: Seconds since the epoch.
        shares: What it holds of each node.
        parent: Number of the task that submitted its first task to its own block; 0 for the driver's.
    """

    name: str
    runtime: str
    began: float
    shares: tuple[ShareView, ...]
    parent: int = 0


class DoorLoad(msgspec.Struct, frozen=True, kw_only=True):
    """The requests to a service that are at a block's front door.

    Attributes:
        waiting: How many wait for a replica.
        answering: How many replicas have.
    """

    waiting: int = 0
    answering: int = 0


class BlockView(msgspec.Struct, frozen=True, kw_only=True):
    """A block as of its last report; before the first one nothing has happened in it.

    Attributes:
        id: Its number.
        state: Its state.
        nodes: Its nodes; none before its pilot said hello.
        cores: Of all its nodes; 0 before its pilot said hello.
        tasks: Its tasks.
        runtimes: Its runtimes, by name.
        services: Its services.
        lost_nodes: Names of nodes that are lost, and not back.
        leases: Those that are out.
        waits: How many of its tasks wait for what: see `wire.times.WaitedFor`.
        ends_at: Seconds since the epoch at which its job ends; None where nobody says, and before its pilot said hello.
        use: How much its nodes work, by name; nothing with `record=False`.
        door: The requests at its front door, by service, where there are some; nothing with `record=False`.
    """

    id: str
    state: BlockState
    nodes: tuple[NodeFacts, ...]
    cores: int
    tasks: TaskCounts
    runtimes: dict[str, RuntimeReport]
    services: tuple[ServiceReport, ...]
    lost_nodes: tuple[str, ...]
    leases: tuple[LeaseView, ...]
    waits: dict[str, int]
    ends_at: float | None
    use: dict[str, NodeUse] = {}
    door: dict[str, DoorLoad] = {}


class ServiceStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How a service is, in all blocks that are there.

    Attributes:
        name: The service's.
        state: The best that it has in a block; `waiting` while there is no block.
        replicas: How many a block is to have, at least.
        ready: How many answer, in all blocks.
        blocks: What each block last said of it, by the block's number.
    """

    name: str
    state: ServiceState
    replicas: int
    ready: int
    blocks: dict[str, ServiceReport]


class ExecutorView(msgspec.Struct, frozen=True, kw_only=True):
    """An executor.

    Attributes:
        label: Its name.
        outstanding: Tasks that were submitted and have not ended.
        totals: Tasks that have ended, in blocks that are gone too; they never fall.
        blocks: Those that are there.
    """

    label: str
    outstanding: int
    totals: ExecutorTotals
    blocks: tuple[BlockView, ...]
