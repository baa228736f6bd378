"""Which node a task or a service prefers: of the host where most of the bytes lie that it takes by reference. Pure."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import count

import msgspec

from rhapsody_parsl.annotations.task_spec import TaskSpec, decode_spec, encode_spec
from rhapsody_parsl.runtimes.protocol import Node
from rhapsody_parsl.wire.messages import Task

__all__ = ("Nearness",)

_LEAST = 1 << 20
"""Bytes; to move fewer costs less than to keep apart tasks that are alike."""
_MOST_KNOWN = 4000


class Nearness:
    """The hosts of a block.

    A preference never makes a task wait: where the node has no room the task goes elsewhere, and its values with it.

    Args:
        nodes: The block's; the first is on the pilot's host.
        hosts_of: Returns the hosts where a value lies; "" is the pilot's.
    """

    def __init__(self, nodes: Sequence[Node], hosts_of: Callable[[str], Iterable[str]]) -> None:
        self._hosts_of = hosts_of
        self._nodes: dict[str, list[str]] = {}
        for node in nodes:
            host = "" if node.host == nodes[0].host else node.host
            self._nodes.setdefault(host, []).append(node.name)
        self._turns = count()
        self._known: dict[tuple[bytes, str], bytes] = {}

    def near(self, tasks: Sequence[Task]) -> Sequence[Task]:
        """Return tasks with the nodes that they prefer, as if their annotation had said so."""
        if len(self._nodes) < 2:  # noqa: PLR2004 - one host has all
            return tasks
        return [self._with_node(task) if task.takes else task for task in tasks]

    def nearest(self, values: Mapping[str, int]) -> str:
        """Return the node that has most of some values, by the sizes of these; "" where that is no matter."""
        return self._node(values.items()) if len(self._nodes) > 1 else ""

    def _with_node(self, task: Task) -> Task:
        node = self._node(task.takes)
        return msgspec.structs.replace(task, spec=self._spec(task.spec, node)) if node else task

    def _node(self, takes: Iterable[tuple[str, int]]) -> str:
        """Return the node for these, each host in turn, and each of its nodes; "" when that is no matter."""
        hosts = self._best(takes)
        if not hosts:
            return ""
        turn = next(self._turns)
        nodes = self._nodes[hosts[turn % len(hosts)]]
        return nodes[turn // len(hosts) % len(nodes)]

    def _best(self, takes: Iterable[tuple[str, int]]) -> list[str]:
        """Return the hosts with the most bytes; none when that is no matter."""
        held: Counter[str] = Counter()
        for key, size in takes:
            for host in self._hosts_of(key):
                held[host] += size
        most = max(held.values(), default=0)
        best = [host for host, size in held.items() if size == most and host in self._nodes]
        return best if most >= _LEAST and len(best) < len(self._nodes) else []

    def _spec(self, encoded: bytes, node: str) -> bytes:
        known = self._known.get((encoded, node))
        if known is None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            spec = decode_spec(encoded)
            known = encoded if _has_its_place(spec) else encode_spec(_near(spec, node))
            self._known[encoded, node] = known
        return known


def _has_its_place(spec: TaskSpec) -> bool:
    return bool(spec.policy.near or spec.service or spec.policy.placement == "spread")


def _near(spec: TaskSpec, node: str) -> TaskSpec:
    return msgspec.structs.replace(spec, policy=msgspec.structs.replace(spec.policy, near=node))
