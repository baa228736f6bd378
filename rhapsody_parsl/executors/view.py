"""What a live view, a plot or a monitor wants to know of an executor, made in one place."""

import time
from collections import deque
from collections.abc import Mapping
from itertools import chain
from typing import Any, cast

import msgspec
from parsl.jobs.states import JobStatus

from rhapsody_parsl.executors.blocks import Block, Blocks
from rhapsody_parsl.wire.views import BlockState, BlockView, ExecutorView, LeaseView, ShareView

__all__ = ("describe_block", "plain", "timeline")


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
        waits=report.waits,
        use=block.use,
        door=block.door.load,
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
        for block, lease in deque(chain(blocks.record.leases(last), out), maxlen=last)
        for share in lease.shares
    ]  # fmt: skip
