"""A block's nodes as Parsl's monitoring wants them: what HighThroughputExecutor's interchange says of its managers."""

import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from parsl.monitoring.message_type import MessageType

from rhapsody_parsl.executors.blocks import Block

__all__ = ("node_messages",)

_GB = 1e9


def node_messages(block: Block, run: str, active: bool) -> Iterator[tuple[MessageType, dict[str, Any]]]:
    """Return a message a node for the monitoring hub.

    Args:
        block: Whose nodes; none before it said hello.
        run: Parsl's `run_id`.
        active: Whether they are there.
    """
    now = datetime.now()
    if block.inventory is None:
        return
    for node in block.inventory.nodes:
        yield (
            MessageType.NODE_INFO,
            {
                "run_id": run,
                "hostname": node.name,
                "uid": f"{block.id}/{node.name}",
                "block_id": block.id,
                "cpu_count": node.cores,
                "total_memory": int(node.memory * _GB),
                "active": active,
                "worker_count": node.cores,
                "python_v": block.inventory.python,
                "timestamp": now,
                "last_heartbeat": now - timedelta(seconds=time.monotonic() - block.heard),
            },
        )
