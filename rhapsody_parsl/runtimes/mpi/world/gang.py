"""Which ranks of a world a run gets: pure."""

from collections.abc import Collection, Iterable, Sequence

import msgspec

from rhapsody_parsl.runtimes.mpi.launch.places import chunks, gpus_of
from rhapsody_parsl.runtimes.protocol import Node, Placed, Run
from rhapsody_parsl.wire.leases import Share

__all__ = ("Member", "Slot", "gpus_in", "members_of", "pick", "slots_of", "slots_on")


class Slot(msgspec.Struct, frozen=True):
    """Where a rank of a world lives: node, declared core."""

    node: str
    core: int


class Member(msgspec.Struct, frozen=True):
    """One rank of a run: the part of the lease it works on.

    Attributes:
        placed: That part, as a lease of its own.
        rank: Its number in the world.
    """

    placed: Placed
    rank: int = 0


def slots_of(nodes: Iterable[Node], ranks: int = 0) -> tuple[Slot, ...]:
    """Return a standing world's slots: a rank for each core, or `ranks` spread evenly over the nodes."""
    nodes = list(nodes)
    if not ranks:
        return tuple(Slot(node.name, core) for node in nodes for core in node.cores)
    each, more = divmod(ranks, len(nodes))
    return tuple(
        Slot(node.name, node.cores[number % len(node.cores)])
        for position, node in enumerate(nodes)
        for number in range(each + (position < more))
    )


def slots_on(members: Iterable[Member]) -> tuple[Slot, ...]:
    """Return the slots of a world made for one run."""
    return tuple(Slot(member.placed.node.name, member.placed.share.cores[0]) for member in members)


def members_of(run: Run) -> tuple[Member, ...]:
    """Cut a run's lease into its ranks' parts, in the group's order; world ranks are 0, 1, ..."""
    parts = [part for placed in run.placed for part in _cut(placed, run.spec.resources.gpus_per_rank)]
    return tuple(Member(part, rank) for rank, part in enumerate(parts))


def _cut(placed: Placed, gpus_per_rank: float) -> list[Placed]:
    share = placed.share
    return [
        Placed(placed.node, Share(share.node, cores, gpus_of(placed, number, gpus_per_rank)), 1)
        for number, cores in enumerate(chunks(placed))
    ]


def gpus_in(members: Iterable[Member]) -> set[tuple[str, int]]:
    """Return the GPUs of these, as node and place there."""
    return {(member.placed.node.name, gpu) for member in members for gpu in member.placed.share.gpus}


def pick(members: Sequence[Member], slots: Sequence[Slot], busy: Collection[int] = ()) -> tuple[Member, ...] | None:
    """Give each member a rank of the world: that of its first core, else any free one of its node.

    Args:
        members: Of the run.
        slots: Of the world.
        busy: Ranks that are taken.

    Returns:
        The members with their ranks, or None when a node has too few free ones.
    """
    free: dict[str, dict[int, int]] = {}
    for rank, slot in enumerate(slots):
        if rank not in busy:
            free.setdefault(slot.node, {}).setdefault(slot.core, rank)
    spare = {node: [r for r, s in enumerate(slots) if s.node == node and r not in busy] for node in free}
    chosen: dict[int, int] = {}
    for position, member in enumerate(members):
        node, first = member.placed.node.name, member.placed.share.cores[0]
        if first in free.get(node, ()):
            chosen[position] = free[node].pop(first)
            spare[node].remove(chosen[position])
    for position, member in enumerate(members):
        if position not in chosen:
            others = spare.get(member.placed.node.name)
            if not others:
                return None
            chosen[position] = others.pop(0)
    return tuple(Member(member.placed, chosen[position]) for position, member in enumerate(members))
