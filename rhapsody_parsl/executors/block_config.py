"""What the blocks of an executor are told of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rhapsody_parsl.config import BlockConfig
from rhapsody_parsl.executors.checks import walltime_of
from rhapsody_parsl.hosts import limits

if TYPE_CHECKING:
    from rhapsody_parsl.executors.executor import RhapsodyExecutor

__all__ = ("block_config",)


def block_config(
    executor: "RhapsodyExecutor",
    folder: Path,
    addresses: Sequence[str],
    token: str,
    *,
    scheduling: str,
    shared_folder: str,
) -> BlockConfig:
    """Return what a block is told.

    Args:
        executor: The executor.
        folder: Its own, in the run directory.
        addresses: Where it listens.
        token: Shows that a pilot belongs to it.
        scheduling: The order of waiting tasks, as it travels.
        shared_folder: For large payloads, on this host.
    """
    return BlockConfig(
        label=executor.label,
        addresses=tuple(addresses),
        runtimes=executor.offers,
        services=executor.services.configs,
        default_runtime=executor.default_runtime,
        logs=str(folder),
        certificates=str(folder / "certificates") if executor.encrypted else "",
        token=token,
        nodes=executor.declared_nodes or 0,
        cores_per_node=executor.cores_per_node or 0,
        gpus_per_node=-1 if executor.gpus_per_node is None else executor.gpus_per_node,
        memory_per_node=float(executor.mem_per_node or 0),
        node_launcher=executor.node_launcher,
        working_dir=executor.working_dir or "",
        heartbeat_period=executor.heartbeat_period,
        heartbeat_threshold=executor.heartbeat_threshold,
        ageing=executor.ageing,
        scheduling=scheduling,
        shared_folder=shared_folder,
        enforce_memory=executor.enforce_memory,
        record=executor.record or executor.telemetry,
        max_depth=executor.max_depth,
        max_children=executor.max_children,
        walltime=walltime_of(executor.provider),
        open_files=limits.raised(),
        openai_key=executor.openai_key,
        openai_wait=executor.openai_wait,
    )
