"""What a replica borrows, for the ledger and for people."""

from collections.abc import Callable, Mapping

import msgspec

from rhapsody_parsl.annotations.policy import PolicyValue
from rhapsody_parsl.annotations.resources import Resources
from rhapsody_parsl.annotations.task_spec import TaskSpec
from rhapsody_parsl.service_config import ServiceConfig
from rhapsody_parsl.services.protocol import Kind

__all__ = ("beside_data", "borrower", "needs", "no_room", "size")


def borrower(service: str, index: int) -> str:
    """Return what the record calls a replica."""
    return f"service {service}[{index}]"


def needs(kind: Kind) -> TaskSpec | None:
    """Return what a replica borrows; None when that is nothing."""
    config = kind.config
    if config.nodes == 1 and not (config.cores or config.gpus or config.memory or config.labels or config.near):
        return None
    near = config.near if isinstance(config.near, str) else ""
    policy = PolicyValue(labels=config.labels, near=near, placement=config.placement)
    return TaskSpec(name=f"service {config.name}", runtime=kind.name, resources=_resources(config), policy=policy)


def beside_data(wants: TaskSpec, config: ServiceConfig, nearest: Callable[[Mapping[str, int]], str]) -> TaskSpec:
    """Return what a replica borrows now, near the values that it is to be near.

    Args:
        wants: What it borrows anywhere.
        config: The user's.
        nearest: Returns the node that has most of some values, by the sizes of these; "" where that is no matter.
    """
    if not isinstance(config.near, dict):
        return wants
    return msgspec.structs.replace(wants, policy=msgspec.structs.replace(wants.policy, near=nearest(config.near)))


def _resources(config: ServiceConfig) -> Resources:
    """Return what a replica takes: of one node, or, as a gang does, the same of each of several."""
    if config.nodes == 1:
        return Resources(cores=config.cores, gpus=config.gpus, memory=config.memory)
    return Resources(
        num_ranks=config.nodes,
        num_nodes=config.nodes,
        ranks_per_node=1,
        cores_per_rank=config.cores,
        gpus_per_rank=config.gpus,
        memory=config.memory,
    )


def size(config: ServiceConfig) -> str:
    """Return what a replica borrows of a node, for people."""
    wants = [f"{config.cores} cores"]
    wants += [f"{config.gpus:g} GPUs"] if config.gpus else []
    wants += [f"{config.memory:g} GB"] if config.memory else []
    wants += [f"labels {', '.join(config.labels)}"] if config.labels else []
    return ", ".join(wants)


def no_room(config: ServiceConfig, index: int, nodes: int) -> str:
    """Return what a replica wanted that found no room at the block's start, for people."""
    each = f" on each of {config.nodes} nodes; the block has {nodes}" if config.nodes > 1 else ""
    return f"the block has no room left for replica {index} ({size(config)}{each})"
