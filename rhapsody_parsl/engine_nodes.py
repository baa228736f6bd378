"""What an engine over several nodes needs of its configuration."""

from typing import TYPE_CHECKING

from rhapsody_parsl.errors import InvalidTask

if TYPE_CHECKING:
    from rhapsody_parsl.service_config import VLLMService

__all__ = ("check_nodes",)

_SET_BY_NODES = (
    "nnodes", "node_rank", "master_addr", "master_port", "headless", "data_parallel_address", "data_parallel_rpc_port",
    "data_parallel_size_local", "data_parallel_start_rank", "data_parallel_rank", "data_parallel_external_lb",
    "data_parallel_hybrid_lb",
)  # fmt: skip
"""Engine arguments that say which node of several a process is: ours to say."""


def check_nodes(service: "VLLMService") -> None:
    """Check a model whose replicas have several nodes.

    Raises:
        InvalidTask: Its command stands on one node, or its engine does not divide over as many.
    """
    key, nodes = service.key_of("nodes"), service.nodes
    if service.server == "command" and service.executable:
        raise InvalidTask(key, nodes, "a command of your own stands on one node", "Leave out executable")
    for name in _SET_BY_NODES:
        if name in service.engine_args:
            raise InvalidTask(service.key_of("engine_args"), name, f"nodes={nodes} sets it")
    kinds = ("data",) if service.data_parallel else ("tensor", "pipeline")
    if (size := service.parallel(*kinds)) % nodes:
        product = " * ".join(f"{kind}_parallel_size" for kind in kinds)
        why = f"{product} of its engine_args is {size}, which does not divide over as many nodes"
        raise InvalidTask(key, nodes, why, f"Make it {nodes}, or a multiple")
