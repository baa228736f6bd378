"""Numbers that people want of an executor's view: what is lent, to which runtime, on which nodes. Pure."""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from rhapsody_parsl.wire.reports import ServiceReport
from rhapsody_parsl.wire.views import BlockView, LeaseView

__all__ = (
    "SERVICES",
    "Lent",
    "NodeUse",
    "duration",
    "lent",
    "lent_to",
    "node_uses",
    "nodes_of",
    "serves",
    "total",
    "work",
)

SERVICES = "services"
"""Who holds what services lease."""


class Lent(NamedTuple):
    """Cores and GPUs.

    Attributes:
        cores: How many.
        gpus: How many; one that is lent in parts counts as one.
    """

    cores: int
    gpus: int


class NodeUse(NamedTuple):
    """A node.

    Attributes:
        name: Its name.
        cores: How many it has, those that services lease too.
        lent: How many of them are lent.
        gpus: How many GPUs are lent.
        lost: Whether it is lost.
        cpu: Part of the time that its cores work, 0 to 1; None where nobody says.
    """

    name: str
    cores: int
    lent: int
    gpus: int
    lost: bool
    cpu: float | None = None


def holder(lease: LeaseView) -> str:
    """Return who holds a lease: a runtime, or `services`."""
    return SERVICES if lease.name.startswith("service ") else lease.runtime


def _cores(leases: Iterable[LeaseView]) -> Lent:
    gpus = {(share.node, gpu) for lease in leases for share in lease.shares for gpu in share.gpus}
    return Lent(sum(len(share.cores) for lease in leases for share in lease.shares), len(gpus))


def lent(block: BlockView) -> Lent:
    """Return what is lent of a block."""
    return _cores(block.leases)


def total(block: BlockView) -> Lent:
    """Return what a block has; what services hold for its whole life is not in its nodes' counts."""
    now = lent(block)
    return Lent(max(block.cores, now.cores), max(round(sum(node.gpus for node in block.nodes)), now.gpus))


def lent_to(blocks: Iterable[BlockView]) -> dict[str, Lent]:
    """Return what each runtime holds, and what services hold, in the order of the most cores."""
    leases: dict[str, list[LeaseView]] = {}
    for block in blocks:
        for lease in block.leases:
            leases.setdefault(holder(lease), []).append(lease)
    sums = {name: _cores(each) for name, each in leases.items()}
    return dict(sorted(sums.items(), key=lambda pair: (-pair[1].cores, -pair[1].gpus, pair[0])))


def node_uses(blocks: Iterable[BlockView]) -> list[NodeUse]:
    """Return the nodes of all blocks in order, with what is lent of each."""
    uses = list[NodeUse]()
    for block in blocks:
        cores, gpus = Counter[str](), dict[str, set[int]]()
        for share in (share for lease in block.leases for share in lease.shares):
            cores[share.node] += len(share.cores)
            gpus.setdefault(share.node, set()).update(share.gpus)
        uses += [
            NodeUse(
                node.name,
                max(node.cores, cores[node.name]),
                cores[node.name],
                len(gpus.get(node.name, ())),
                node.name in block.lost_nodes,
                block.use[node.name].cpu if node.name in block.use else None,
            )
            for node in block.nodes
        ]
    return uses


def work(blocks: Iterable[BlockView]) -> str:
    """Return how much the nodes of all blocks work, as a sentence; "" where nobody says."""
    told = [
        (node.cores or 1, block.use[node.name]) for block in blocks for node in block.nodes if node.name in block.use
    ]
    if not told:
        return ""
    cores = sum(count for count, _ in told)
    cpu = sum(count * use.cpu for count, use in told) / cores
    parts = [f"CPU {cpu:.0%}", f"memory {sum(use.memory for _, use in told):,.1f} GB"]
    if gpus := [gpu for _, use in told for gpu in use.gpus]:
        parts.append(f"GPU {sum(gpu.busy for gpu in gpus) / len(gpus):.0%} of {len(gpus):,}")
        parts.append(f"GPU memory {sum(gpu.memory for gpu in gpus):,.1f} GB")
    return ", ".join(parts)


def nodes_of(blocks: Iterable[BlockView]) -> tuple[int, int]:
    """Return how many nodes there are, and how many of them are lost."""
    there = list(blocks)
    return sum(len(block.nodes) for block in there), sum(len(block.lost_nodes) for block in there)


def serves(blocks: Iterable[BlockView]) -> dict[str, list[ServiceReport]]:
    """Return what each block says of each service."""
    found: dict[str, list[ServiceReport]] = {}
    for block in blocks:
        for service in block.services:
            found.setdefault(service.name, []).append(service)
    return found


def duration(seconds: float) -> str:
    """Return a time as people read it: `42 s`, `3:07`, `1:02:09`, `3 d 4 h`."""
    whole = max(0, round(seconds))
    if whole < 60:  # noqa: PLR2004 - of a minute
        return f"{whole} s"
    hours, minutes = divmod(whole // 60, 60)
    if hours >= 48:  # noqa: PLR2004 - two days
        return f"{hours // 24} d {hours % 24} h"
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"
