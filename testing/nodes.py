"""Nodes and tasks for tests of the pilot's pure half."""

import platform
import sys
from pathlib import Path
from typing import Any

from rhapsody_parsl.annotations.annotation import SPEC_PARAMETER, merge, parse
from rhapsody_parsl.annotations.plain import plain_dict
from rhapsody_parsl.annotations.task_spec import TaskSpec, encode_spec
from rhapsody_parsl.runtimes.protocol import Context, Node
from rhapsody_parsl.wire.messages import Task
from rhapsody_parsl.wire.reports import Inventory, NodeFacts


def make_node(
    name: str,
    cores: int = 4,
    gpus: int = 0,
    memory: float = 64.0,
    *,
    labels: tuple[str, ...] = (),
    vendor: str = "nvidia",
) -> Node:
    ids = tuple(range(cores))
    return Node(
        name=name,
        host=name,
        cores=ids,
        real_cores=ids,
        gpus=tuple(map(str, range(gpus))),
        gpu_vendor=vendor if gpus else "",
        memory=memory,
        labels=labels,
    )


def make_context(folder: Path, events: Any, *nodes: Node, **more: Any) -> Context:
    """Return a block of these nodes, all of it in one folder; `events` needs no more than the test hears."""
    usual: dict[str, Any] = {"logs": folder, "python": sys.executable, "environment": {}}
    by_name = {node.name: node for node in nodes}
    return Context(nodes=by_name, head=nodes[0].name, folder=folder, events=events, **(usual | more))


def make_nodes(count: int, cores: int = 4, gpus: int = 0, memory: float = 64.0) -> list[Node]:
    return [make_node(f"n{number}", cores, gpus, memory) for number in range(count)]


def make_inventory(*nodes: dict[str, Any], **more: Any) -> Inventory:
    """What a block of such nodes says of itself: of each node what is not as usual."""
    made = [NodeFacts(**{"name": "n", "cores": 4, "memory": 16.0, **node}) for node in nodes or ({},)]
    usual: dict[str, Any] = {"python": platform.python_version(), "cores": sum(node.cores for node in made)}
    return Inventory(nodes=tuple(made), **(usual | more))


def make_spec(name: str = "task", *, comm: bool = False, **keys: Any) -> TaskSpec:
    return parse(merge(plain_dict(keys, SPEC_PARAMETER)), name, comm)[0]


def make_task(number: int, spec: TaskSpec) -> Task:
    return Task(number, encode_spec(spec), b"")
