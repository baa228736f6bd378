"""Run Parsl apps on Dragon, MPI and persistent services, all inside one batch job.

The public names resolve on first use, so that importing the package costs almost nothing: neither the pilot nor a rank
pays for Parsl before it opens a payload.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rhapsody_parsl.annotations.agent import Agent
    from rhapsody_parsl.annotations.decorator import MPI, VLLM, Dragon, Part, Policy, annotate
    from rhapsody_parsl.apps_as_tools.langgraph import node, tool
    from rhapsody_parsl.block_end import time_left
    from rhapsody_parsl.config import DragonRuntime, LocalRuntime, MPIRuntime
    from rhapsody_parsl.data.reference import Ref
    from rhapsody_parsl.executors.admission import InvalidSpecification
    from rhapsody_parsl.executors.cancelling import cancel
    from rhapsody_parsl.executors.executor import RhapsodyExecutor
    from rhapsody_parsl.executors.stream import Stream, stream
    from rhapsody_parsl.inside.executor import block
    from rhapsody_parsl.mail import AgentHandle
    from rhapsody_parsl.programs import Completed
    from rhapsody_parsl.providers.allocation import AllocationProvider
    from rhapsody_parsl.providers.shared_block import SharedBlock, SharedBlockProvider
    from rhapsody_parsl.runtime_config import RuntimeConfig
    from rhapsody_parsl.runtime_table import Takes
    from rhapsody_parsl.scheduling.easy import Easy
    from rhapsody_parsl.scheduling.fair import Fair
    from rhapsody_parsl.scheduling.fifo import Fifo
    from rhapsody_parsl.scheduling.forecast import Forecast
    from rhapsody_parsl.scheduling.protocol import Queue, Scheduling, WaitingTask
    from rhapsody_parsl.scheduling.trace import TracedTask
    from rhapsody_parsl.service import Service, service
    from rhapsody_parsl.service_config import CommandService, VLLMService
    from rhapsody_parsl.worker.in_place import empty

__version__ = "0.1.0"

__all__ = (
    "MPI",
    "VLLM",
    "Agent",
    "AgentHandle",
    "AllocationProvider",
    "CommandService",
    "Completed",
    "Dragon",
    "DragonRuntime",
    "Easy",
    "Fair",
    "Fifo",
    "Forecast",
    "InvalidSpecification",
    "LocalRuntime",
    "MPIRuntime",
    "Part",
    "Policy",
    "Queue",
    "Ref",
    "RhapsodyExecutor",
    "RuntimeConfig",
    "Scheduling",
    "Service",
    "SharedBlock",
    "SharedBlockProvider",
    "Stream",
    "Takes",
    "TracedTask",
    "VLLMService",
    "WaitingTask",
    "annotate",
    "block",
    "cancel",
    "empty",
    "node",
    "service",
    "stream",
    "time_left",
    "tool",
)

_CONFIG = "rhapsody_parsl.config"
_DECORATOR = "rhapsody_parsl.annotations.decorator"
_SHARED_BLOCK = "rhapsody_parsl.providers.shared_block"
_HOMES = {
    **dict.fromkeys(("DragonRuntime", "LocalRuntime", "MPIRuntime"), _CONFIG),
    **dict.fromkeys(("CommandService", "VLLMService"), "rhapsody_parsl.service_config"),
    **dict.fromkeys(("MPI", "VLLM", "Dragon", "Part", "Policy", "annotate"), _DECORATOR),
    **dict.fromkeys(("node", "tool"), "rhapsody_parsl.apps_as_tools.langgraph"),
    **dict.fromkeys(("SharedBlock", "SharedBlockProvider"), _SHARED_BLOCK),
    **dict.fromkeys(("Queue", "Scheduling", "WaitingTask"), "rhapsody_parsl.scheduling.protocol"),
    "Agent": "rhapsody_parsl.annotations.agent",
    "AgentHandle": "rhapsody_parsl.mail",
    "AllocationProvider": "rhapsody_parsl.providers.allocation",
    "Completed": "rhapsody_parsl.programs",
    "InvalidSpecification": "rhapsody_parsl.executors.admission",
    "Easy": "rhapsody_parsl.scheduling.easy",
    "Fair": "rhapsody_parsl.scheduling.fair",
    "Fifo": "rhapsody_parsl.scheduling.fifo",
    "Forecast": "rhapsody_parsl.scheduling.forecast",
    "RhapsodyExecutor": "rhapsody_parsl.executors.executor",
    "RuntimeConfig": "rhapsody_parsl.runtime_config",
    "Ref": "rhapsody_parsl.data.reference",
    "Service": "rhapsody_parsl.service",
    "TracedTask": "rhapsody_parsl.scheduling.trace",
    "Stream": "rhapsody_parsl.executors.stream",
    "Takes": "rhapsody_parsl.runtime_table",
    "block": "rhapsody_parsl.inside.executor",
    "cancel": "rhapsody_parsl.executors.cancelling",
    "empty": "rhapsody_parsl.worker.in_place",
    "service": "rhapsody_parsl.service",
    "stream": "rhapsody_parsl.executors.stream",
    "time_left": "rhapsody_parsl.block_end",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(home)  # binds its own name here, which may be that of a function in it
    globals().update({each: getattr(module, each) for each, where in _HOMES.items() if where == home})
    return globals()[name]


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
