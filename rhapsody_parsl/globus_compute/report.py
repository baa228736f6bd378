"""What an endpoint tells Globus Compute of its blocks, runtimes and services."""

from collections.abc import Sequence
from typing import Any

import msgspec
from parsl.providers.base import ExecutionProvider

from rhapsody_parsl.executors.executor import RhapsodyExecutor
from rhapsody_parsl.wire.views import BlockView

__all__ = ("describe", "why_not_high_assurance")

_QUEUE = ("queue", "partition")
_ACCOUNT = ("account", "allocation", "project")


def describe(executor: RhapsodyExecutor, total_tasks: int) -> dict[str, Any]:
    """Return the endpoint's state, with the keys of Globus Compute's own engines where they mean something here.

    Args:
        executor: The engine's.
        total_tasks: Tasks submitted in all.
    """
    view = executor.view()
    blocks = [block for block in view.blocks if block.state in ("connected", "leaving")]
    provider = executor.provider
    cores = sum(block.cores for block in blocks)
    busy = sum(len(share.cores) for block in blocks for lease in block.leases for share in lease.shares)
    running = sum(block.tasks.running for block in blocks)
    return {
        "managers": len(blocks),
        "active_managers": sum(block.state == "connected" for block in blocks),
        "total_workers": cores,
        "idle_workers": max(0, cores - busy),
        "busy_workers": min(cores, busy),
        "pending_tasks": max(0, view.outstanding - running),
        "outstanding_tasks": view.outstanding,
        "total_tasks": total_tasks,
        "scaling_enabled": getattr(provider, "max_blocks", 0) > 0,
        "max_blocks": getattr(provider, "max_blocks", 0),
        "min_blocks": getattr(provider, "min_blocks", 0),
        "nodes_per_block": getattr(provider, "nodes_per_block", 1),
        "node_info": _nodes(executor, blocks),
        "runtimes": {block.id: msgspec.to_builtins(block.runtimes) for block in blocks},
        "services": {block.id: list(msgspec.to_builtins(block.services)) for block in blocks},
        "engine_type": "RhapsodyEngine",
        "provider_type": type(provider).__name__,
        "queue": _first(provider, _QUEUE),
        "account": _first(provider, _ACCOUNT),
    }


def _nodes(executor: RhapsodyExecutor, blocks: Sequence[BlockView]) -> dict[str, list[dict[str, Any]]]:
    """Return the nodes of each block, by the batch system's number of its job."""
    return {
        str(executor.blocks_to_job_id.get(block.id, block.id)): [
            {"name": node.name, "worker_count": node.cores, "gpus": node.gpus} for node in block.nodes
        ]
        for block in blocks
    }


def _first(provider: ExecutionProvider | None, names: Sequence[str]) -> str | None:
    return next((value for name in names if (value := getattr(provider, name, None))), None)


def why_not_high_assurance(executor: RhapsodyExecutor) -> str:
    """Return why the engine does not keep Globus's High Assurance rules, or "" when it does.

    What leaves a host must be encrypted. The connection to the blocks is, if wanted; within a host everything stays in
    sockets of private folders and on the loopback. Between the hosts of a block MPI, and a Dragon runtime that spans
    them, speak in clear.
    """
    if not executor.encrypted:
        return "the connections to the blocks must be encrypted: set engine.encrypted: true"
    if getattr(executor.provider, "nodes_per_block", 1) not in (None, 1):
        return "MPI and Dragon do not encrypt what goes between a block's nodes: set engine.provider.nodes_per_block: 1"
    return ""
