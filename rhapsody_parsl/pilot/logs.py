"""Where a block's logs are, and what else outlives the block beside them."""

import contextlib
from pathlib import Path

from rhapsody_parsl.config import BlockConfig
from rhapsody_parsl.pilot.family import FIRST

__all__ = ("checkpoint_of", "logs_of")


def logs_of(config: BlockConfig, block: str) -> Path:
    """Return the folder of a block's logs, made if need be; all hosts see it."""
    logs = Path(config.logs) / f"block-{block}"
    with contextlib.suppress(OSError):  # no room there costs the logs only; a task that prints is told
        logs.mkdir(parents=True, exist_ok=True)
    return logs


def checkpoint_of(logs: Path, task: int) -> Path:
    """Return the file for the checkpoint of an agent; one of the driver's finds it from each block.

    Args:
        logs: The folder of the block's logs.
        task: The number of the agent's task.
    """
    return (logs if task >= FIRST else logs.parent) / "agents" / f"{task}.checkpoint"
