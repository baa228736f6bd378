"""What a live view or a plot wants to know of an executor, as plain data."""

import time
from collections import deque
from collections.abc import Mapping
from itertools import chain
from typing import Any

from parsl.jobs.states import JobStatus

from rhapsody_parsl.executors.blocks import Block, Blocks

__all__ = ("describe_block", "timeline")


def describe_block(block: Block, jobs: Mapping[str, JobStatus]) -> dict[str, Any]:
    """Return the state of a block as of its last report; before the first one, the same keys with nothing in them.

    Args:
        block: The block.
        jobs: States of the provider's jobs by block, for one whose pilot has not said hello.
    """
    return {
        "id": block.id,
        "state": _state(block, jobs.get(block.id)),
        "nodes": [{**node, "labels": sorted(node["labels"])} for node in block.inventory.get("nodes", [])],
        "cores": block.inventory.get("cores", 0),
        "tasks": {},
        "runtimes": {},
        "services": [],
        "lost_nodes": [],
        **block.state,
        "leases": [
            {"name": lease.name, "runtime": lease.runtime, "began": lease.began,
             "shares": [(share.node, share.cores, share.gpus) for share in lease.shares]}
            for lease in list(block.leases.values())
        ],
    }  # fmt: skip


def _state(block: Block, job: JobStatus | None) -> str:
    if block.closing:
        return "leaving"
    if block.inventory:
        return "connected"
    return job.state.name.lower() if job else "unknown"


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
         "end": lease.ended or time.time(), "tasks": lease.tasks}
        for block, lease in deque(chain(blocks.history, out), maxlen=last)
        for share in lease.shares
    ]  # fmt: skip
