"""When tasks would run in a block of an executor: the trace is checked as calls are, and the pilot's core plays it."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from rhapsody_parsl.annotations.limits import check_range
from rhapsody_parsl.errors import InvalidTask
from rhapsody_parsl.executors.admission import Admission, read
from rhapsody_parsl.executors.functions import FunctionFacts
from rhapsody_parsl.runtime_table import load
from rhapsody_parsl.scheduling.forecast import Forecast
from rhapsody_parsl.scheduling.swf import read_swf
from rhapsody_parsl.scheduling.trace import TracedTask
from rhapsody_parsl.scheduling.travel import packed, unpacked
from rhapsody_parsl.wire.reports import Inventory, NodeFacts

__all__ = ("block_like", "simulate")

_REPLAY = "rhapsody_parsl.simulator.replay:replay"
"""Loaded by its name, when somebody asks: the driver has nothing else of the block's side."""
_LEAST = {"nodes": 1, "cores_per_node": 1}
_WRITE = "Write [TracedTask(seconds=60, keys={...})]"


def simulate(
    trace: Any,
    nodes: Sequence[NodeFacts],
    admission: Admission,
    *,
    default_runtime: str,
    ageing: float,
    scheduling: Any,
) -> Forecast:
    """Return how the tasks of a trace would run.

    Args:
        trace: A list of `TracedTask`, or the path of a trace in the Standard Workload Format.
        nodes: What the block has.
        admission: Checks what tasks ask for.
        default_runtime: For tasks that name none.
        ageing: The executor's.
        scheduling: The order of those that wait.

    Raises:
        InvalidTask: The trace is none.
        InvalidSpecification: A task can never run.
        RhapsodyError: The same, as the pilot says it.
    """
    asked = []
    for task in _read(trace):
        admitted = admission.admit(FunctionFacts(task.name, {}, False, False), read(task.keys))
        if admitted.spec.service:
            problem = "a request to a service takes no lease, so there is nothing to simulate"
            raise InvalidTask("trace", task.keys, problem, "Leave requests out")
        limit = admitted.spec.policy.walltime or task.seconds
        seconds = min(task.seconds, limit)  # it would be ended then
        asked.append((msgspec.structs.replace(task, seconds=seconds), admitted.spec, admitted.encoded))
    forecast: Forecast = load(_REPLAY)(asked, nodes, default_runtime, unpacked(packed(scheduling), ageing))
    return forecast


def _read(trace: Any) -> list[TracedTask]:
    if isinstance(trace, str | Path):
        return read_swf(trace)
    if not isinstance(trace, Iterable):
        raise InvalidTask("trace", trace, "a list of tasks is needed, or the path of a trace", _WRITE)
    tasks = list(trace)
    for task in tasks:
        if not isinstance(task, TracedTask):
            raise InvalidTask("trace", task, "a TracedTask is needed", _WRITE)
    return tasks


def block_like(inventories: Sequence[Inventory], given: dict[str, Any], declared: dict[str, Any]) -> list[NodeFacts]:
    """Return the nodes of the block to simulate.

    Args:
        inventories: What blocks of the executor said.
        given: What the user says of it: `nodes`, `cores_per_node`, `gpus_per_node`, `mem_per_node`; None for others.
        declared: The same of the executor.

    Raises:
        InvalidTask: No block can be like that, or nobody knows how many cores a node has.
    """
    for key, value in given.items():
        if value is not None:
            check_range(f"simulate({key})", value, _LEAST.get(key, 0))
    if inventories and all(value is None for value in given.values()):
        return list(inventories[0].nodes)
    known = {key: declared[key] if value is None else value for key, value in given.items()}
    if not known["cores_per_node"]:
        remedy = "Write simulate(..., cores_per_node=64), or ask when a block is connected"
        raise InvalidTask("cores_per_node", None, "no block has said yet what its nodes have", remedy)
    like = NodeFacts(
        name="",
        cores=int(known["cores_per_node"]),
        gpus=float(known["gpus_per_node"] or 0),
        memory=float(known["mem_per_node"] or 0),
    )
    return [_named(like, f"node{number}") for number in range(int(known["nodes"]))]


def _named(facts: NodeFacts, name: str) -> NodeFacts:
    return NodeFacts(name=name, cores=facts.cores, gpus=facts.gpus, memory=facts.memory, labels=frozenset([name]))
