"""What the block holds: each host's facts, cut to our share, or what the user declares instead."""

import platform
import socket
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from rhapsody_parsl.annotations.policy import FIRST_HOST
from rhapsody_parsl.cluster.listed import Listed
from rhapsody_parsl.config import BlockConfig
from rhapsody_parsl.hosts.probe import HostFacts
from rhapsody_parsl.pilot.ledger import Ledger
from rhapsody_parsl.runtimes.protocol import Node
from rhapsody_parsl.wire.reports import Inventory, NodeFacts

__all__ = ("inventory_of", "make_nodes")


def make_nodes(
    config: BlockConfig, listed: Sequence[Listed], facts: Mapping[str, HostFacts], named: bool = True
) -> list[Node]:
    """Return the block's nodes.

    Declared values of the config win. A declared number of nodes are all the first host; declared core `i` stands on
    real core `i` modulo what is there.

    Args:
        config: The block's.
        listed: The block's hosts, the one we stand on first.
        facts: What each host says of itself (`probe.facts`); one without is left out.
        named: Whether the network knows the hosts by the names in the list.
    """
    first = msgspec.structs.replace(listed[0], labels=(*listed[0].labels, FIRST_HOST))
    if config.nodes:
        names = [first.name] if config.nodes == 1 else [f"{first.name}#{number}" for number in range(config.nodes)]
        return [_node(config, name, first, facts[first.name], address="") for name in names]
    return [
        _node(config, host.name, host, facts[host.name], address="" if named else facts[host.name].address)
        for host in (first, *listed[1:])
        if host.name in facts
    ]


def _node(config: BlockConfig, name: str, listed: Listed, facts: HostFacts, *, address: str) -> Node:
    real = listed.ours(facts.cores)
    cores = range(config.cores_per_node or len(real))
    stands_on = tuple(real[core % len(real)] for core in cores)
    gpus = list(facts.gpus)
    if config.gpus_per_node >= 0:
        gpus = gpus[: config.gpus_per_node] + [str(n) for n in range(len(gpus), config.gpus_per_node)]
    elif listed.gpus:
        gpus = gpus[: listed.gpus]
    near = [*facts.near, *([] for _ in gpus)][: len(gpus)]
    return Node(
        name=name,
        host=listed.name,
        cores=tuple(cores),
        real_cores=stands_on,
        gpus=tuple(gpus),
        gpu_vendor=facts.vendor or ("nvidia" if gpus else ""),
        memory=round(config.memory_per_node or listed.memory or facts.memory, 3),
        labels=(*listed.labels, name),
        domains=tuple(_declared(stands_on, domain) for domain in facts.domains),
        near=tuple(_declared(stands_on, cores) for cores in near),
        address=address,
    )


def _declared(stands_on: Sequence[int], real: Sequence[int]) -> tuple[int, ...]:
    """Return the declared cores that stand on these real ones."""
    return tuple(core for core, under in enumerate(stands_on) if under in set(real))


def inventory_of(
    ledger: Ledger, runtimes: Iterable[str], shared_memory: bool, *, ends_at: float | None = None, now: float = 0.0
) -> Inventory:
    """Return what the driver is told of the block.

    Args:
        ledger: The block's.
        runtimes: Names of its runtimes.
        shared_memory: Whether it sees the driver's folder for large payloads.
        ends_at: When its job ends, where somebody says so.
        now: Seconds since the epoch, as is that.
    """
    best = ledger.at_best(whole=True).accounts.values()
    nodes = [
        NodeFacts(
            name=account.node.name,
            cores=account.free_cores,
            gpus=account.free_gpus,
            memory=account.memory,
            labels=frozenset(account.node.labels),
        )
        for account in best
    ]
    return Inventory(
        python=platform.python_version(),
        nodes=tuple(nodes),
        cores=sum(len(account.node.cores) for account in best),
        shared_memory=shared_memory,
        host=socket.gethostname(),
        runtimes=tuple(sorted(runtimes)),
        ends_at=ends_at,
        lasts=None if ends_at is None else ends_at - now,
    )
