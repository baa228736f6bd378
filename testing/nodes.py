"""Nodes and tasks for tests of the pilot's pure half."""

import platform
from typing import Any

from rhapsody_parsl.annotations.annotation import merge, parse
from rhapsody_parsl.annotations.task_spec import TaskSpec, encode_spec
from rhapsody_parsl.runtimes.protocol import Node
from rhapsody_parsl.wire.messages import Task
from rhapsody_parsl.wire.reports import Inventory, NodeFacts


def make_node(
    name: str,
    cores: int = 4,
    gpus: int = 0,
    memory: float = 64.0,
    labels: tuple[str, ...] = (),
    vendor: str = "nvidia",
) -> Node:
    ids = tuple(range(cores))
    return Node(name, name, ids, ids, tuple(map(str, range(gpus))), vendor if gpus else "", memory, labels)


def make_nodes(count: int, cores: int = 4, gpus: int = 0, memory: float = 64.0) -> list[Node]:
    return [make_node(f"n{number}", cores, gpus, memory) for number in range(count)]


def make_inventory(*nodes: dict[str, Any], **more: Any) -> Inventory:
    """What a block of such nodes says of itself: of each node what is not as usual."""
    made = [NodeFacts(**{"name": "n", "cores": 4, "memory": 16.0, **node}) for node in nodes or ({},)]
    usual: dict[str, Any] = {"python": platform.python_version(), "cores": sum(node.cores for node in made)}
    return Inventory(nodes=tuple(made), **(usual | more))


def make_spec(name: str = "task", *, comm: bool = False, **keys: Any) -> TaskSpec:
    return parse(merge(keys), name, comm)[0]


def make_task(number: int, spec: TaskSpec) -> Task:
    return Task(number, encode_spec(spec), b"")
