"""What a live view, a plot or a monitor wants to know of an executor, made in one place."""

import time
from collections import deque
from collections.abc import Mapping
from itertools import chain
from typing import Any, Literal, NamedTuple, cast

import msgspec
from parsl.jobs.states import JobStatus

from rhapsody_parsl.executors.blocks import Block, Blocks
from rhapsody_parsl.wire.reports import NodeFacts, RuntimeReport, ServiceReport, TaskCounts
from rhapsody_parsl.wire.totals import ExecutorTotals

__all__ = ("BlockState", "BlockView", "ExecutorView", "LeaseView", "ShareView", "describe_block", "plain", "timeline")

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
        ends_at: Seconds since the epoch at which its job ends; None where nobody says, and before its pilot said hello.
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
    ends_at: float | None


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


def plain(view: ExecutorView | BlockView) -> dict[str, Any]:
    """Return a view as dicts and lists of plain values, for JSON."""
    return cast(dict[str, Any], msgspec.to_builtins(view, order="deterministic"))


def describe_block(block: Block, jobs: Mapping[str, JobStatus]) -> BlockView:
    """Return a block as of its last report.

    Args:
        block: The block.
        jobs: States of the provider's jobs by block, for one whose pilot has not said hello.
    """
    inventory, report = block.inventory, block.report
    return BlockView(
        id=block.id,
        state=_state(block, jobs.get(block.id)),
        nodes=inventory.nodes if inventory else (),
        cores=inventory.cores if inventory else 0,
        tasks=report.tasks,
        runtimes=report.runtimes,
        services=report.services,
        lost_nodes=report.lost_nodes,
        leases=tuple(
            LeaseView(
                name=lease.name,
                runtime=lease.runtime,
                began=lease.began,
                shares=tuple(ShareView(share.node, share.cores, share.gpus) for share in lease.shares),
                parent=lease.parent,
            )
            for lease in list(block.leases.values())
        ),
        ends_at=inventory.ends_at if inventory else None,
    )


def _state(block: Block, job: JobStatus | None) -> BlockState:
    if block.closing:
        return "leaving"
    if block.inventory:
        return "connected"
    return cast(BlockState, job.state.name.lower()) if job else "unknown"


def timeline(blocks: Blocks, last: int | None) -> list[dict[str, Any]]:
    """Return the ledger's history: one record a lease and node; times in seconds since the epoch.

    Leases that are out at the blocks' last report come last, and end now.

    Args:
        blocks: The executor's.
        last: How many leases at most, the newest; None is all.
    """
    out = [(block.id, lease) for block in blocks for lease in list(block.leases.values())]
    return [
        {"block": block, "task": lease.lease, "name": lease.name, "runtime": lease.runtime, "node": share.node,
         "cores": list(share.cores), "gpus": list(share.gpus), "start": lease.began,
         "end": lease.ended or time.time(), "tasks": lease.tasks, "parent": lease.parent}
        for block, lease in deque(chain(blocks.history, out), maxlen=last)
        for share in lease.shares
    ]  # fmt: skip
