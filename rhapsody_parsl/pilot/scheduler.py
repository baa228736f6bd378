"""Where a task goes: a pure function of its spec and the ledger.

`place` answers for now, `can_ever_fit` for the day when every other task is done, `reserve` names the nodes to keep
free for a gang that has waited long enough. They look where there is room, and not at all nodes (`pool`).
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, islice

from rhapsody_parsl.annotations.resources import Part, Resources
from rhapsody_parsl.annotations.task_spec import TaskSpec
from rhapsody_parsl.pilot.account import Account
from rhapsody_parsl.pilot.demand import Demand
from rhapsody_parsl.pilot.grouped import dealt, dealt_evenly
from rhapsody_parsl.pilot.ledger import Ledger
from rhapsody_parsl.pilot.levels import emptiest_first, fullest_first
from rhapsody_parsl.pilot.pool import Room

__all__ = ("Placing", "can_ever_fit", "place", "reserve", "why_never")

Placing = list[tuple[str, Part]]
"""Node names and what is taken of each."""
Held = Iterator[tuple[Account, int]]
_CHOICE = 2
"""Times as many nodes as are needed, to look at among the emptiest, and among the fullest."""
_MANY = 8
"""Nodes that a search may find useless before it has them indexed."""


def place(
    spec: TaskSpec,
    ledger: Ledger,
    near: str = "",
    *,
    demand: Demand | None = None,
    rooms: Sequence[Room] | None = None,
) -> Placing | None:
    """Return where the task can start now, or None.

    Args:
        spec: The task's.
        ledger: The block's.
        near: Node to prefer.
        demand: What it asks of each node, if somebody knows.
        rooms: The nodes that it may use, for what it asks or for less; without them, all.
    """
    demand = demand or Demand(spec)
    rooms = rooms or [pool.room(demand) for pool in (ledger.open, *ledger.kept)]
    account = ledger.accounts.get(near) if near else None
    if account is not None and _holds_all(account, spec, demand) and any(room.has(account) for room in rooms):
        return _place_on(account, demand, spec.resources)
    return _place_gang(spec, demand, rooms) if spec.resources.is_mpi else _place_somewhere(spec, demand, rooms)


def _holds_all(account: Account, spec: TaskSpec, demand: Demand) -> bool:
    """Whether a node can hold a task now; ranks that are to be apart it can not."""
    apart = spec.resources.is_mpi and spec.policy.placement == "spread"
    return not apart and demand.holds(account) >= demand.needs


def can_ever_fit(spec: TaskSpec, ledger: Ledger, whole: bool = False) -> bool:
    """Whether the task could start once every other task is done; with `whole`, if no node were lost."""
    return place(spec, ledger.at_best(whole)) is not None


def why_never(spec: TaskSpec, ledger: Ledger) -> str:
    """Say what the block would need; for a task that can never fit."""
    best = ledger.at_best(whole=True).accounts.values()
    usable = [account for account in best if _labelled(account, spec)]
    if not usable:
        return f"no node carries the labels {', '.join(spec.policy.labels)}"
    resources = spec.resources
    cores, gpus = max(a.free_cores for a in usable), max(a.free_gpus for a in usable)
    memory = max(a.memory for a in usable)
    has = f"the largest node offers tasks {cores} cores, {gpus:g} GPUs and {memory:g} GB"
    if not resources.is_mpi:
        return (
            f"it asks {resources.cores} cores, {resources.gpus:g} GPUs and {resources.memory:g} GB of one node; {has}"
        )
    total = sum(account.free_cores for account in usable)
    asked = resources.num_ranks * resources.cores_per_rank
    return (
        f"it asks {resources.num_ranks or 'one rank a core,'} ranks on {resources.num_nodes or 'any number of'} nodes "
        f"({asked or 'all'} cores, {resources.gpus_per_rank:g} GPUs a rank); "
        f"the block offers tasks {len(usable)} nodes with {total} cores in all, and {has}"
    )


FreeAt = Callable[[Account], float]
"""When a node is expected to hold a part of what is asked."""


def reserve(demand: Demand, ledger: Ledger, free_at: FreeAt | None = None) -> list[Account]:
    """Return the open nodes to keep free for what is asked: of those that could hold some of it, the emptiest.

    Of equal ones it is those that have changed last: what has not changed for long may be held for long. Where it is
    known when nodes are free, those are taken that are free in time, the last of them first: the others are for others.
    Nodes that services would have to leave first are taken only where the block has not enough others.

    Args:
        demand: What is asked.
        ledger: The block's.
        free_at: Says that.
    """
    beside, best = ledger.beside_services(), ledger.at_best()
    choose = partial(_latest_in_time, demand, free_at) if free_at else partial(_emptiest_of, demand, newest=True)
    chosen = choose(ledger, beside)
    if chosen or best is beside or sum(map(demand.holds, beside.accounts.values())) >= demand.needs:
        return chosen
    return choose(ledger, best)


def _emptiest_of(demand: Demand, ledger: Ledger, best: Ledger, *, newest: bool = False) -> list[Account]:
    return _enough(_usable(demand, best, emptiest_first([ledger.open.parts], 0, newest=newest)), demand.needs)


def _latest_in_time(demand: Demand, free_at: FreeAt, ledger: Ledger, best: Ledger) -> list[Account]:
    """Look at some of the emptiest and of the fullest nodes: these are also those that gangs hold as a whole."""
    parts, most = [ledger.open.parts], _CHOICE * demand.needs
    some = chain(islice(emptiest_first(parts, 0), most), islice(fullest_first(parts, 0), most))
    known = [(free_at(account), account, holds) for account, holds in _usable(demand, best, dict.fromkeys(some))]
    known = sorted((each for each in known if each[0] < math.inf), key=lambda each: each[0])
    in_time = _enough([(account, holds) for _, account, holds in known], demand.needs)
    if not in_time:
        return _emptiest_of(demand, ledger, best)
    start = known[len(in_time) - 1][0]
    return _enough([(account, holds) for at, account, holds in reversed(known) if at <= start], demand.needs)


def _usable(demand: Demand, best: Ledger, accounts: Iterable[Account]) -> Held:
    """Yield the nodes that will hold something of what is asked one day, and how much."""
    for account in accounts:
        if holds := demand.holds(best.accounts[account.node.name]):
            yield account, holds


def _enough(found: Iterable[tuple[Account, int]], missing: int) -> list[Account]:
    chosen: list[Account] = []
    for account, holds in found:
        chosen.append(account)
        missing -= holds
        if missing <= 0:
            return chosen
    return []


def _labelled(account: Account, spec: TaskSpec) -> bool:
    return not spec.policy.labels or account.labels.issuperset(spec.policy.labels)


def _fullest(demand: Demand, rooms: Sequence[Room], least: int) -> Held:
    return _holding(demand, rooms, fullest_first([room.levels for room in rooms], least))


def _emptiest(demand: Demand, rooms: Sequence[Room]) -> Held:
    return _holding(demand, rooms, emptiest_first([room.levels for room in rooms], demand.least))


def _holding(demand: Demand, rooms: Sequence[Room], accounts: Iterable[Account]) -> Held:
    """Yield those that hold something of what is asked, and how much; where many do not, the next search is exact."""
    useless = 0
    for account in accounts:
        if holds := demand.holds(account):
            yield account, holds
            continue
        useless += 1
        if useless == _MANY:
            for room in rooms:
                room.index()


def _place_somewhere(spec: TaskSpec, demand: Demand, rooms: Sequence[Room]) -> Placing | None:
    """One node, the fullest that has room for `pack`, else the emptiest."""
    pack = spec.policy.placement == "pack"
    found = next(_fullest(demand, rooms, demand.least) if pack else _emptiest(demand, rooms), None)
    return _place_on(found[0], demand, spec.resources) if found else None


def _place_on(account: Account, demand: Demand, resources: Resources) -> Placing:
    part = resources.part(demand.needs) if demand.per_rank else demand.part_on(account)
    return [(account.node.name, _whole(account, part) if demand.whole else part)]


def _whole(account: Account, part: Part) -> Part:
    node = account.node
    gpus = float(len(node.gpus))
    return Part(len(node.cores), gpus, 1.0 if gpus else 0.0, max(node.memory, part.memory), part.ranks)


def _place_gang(spec: TaskSpec, demand: Demand, rooms: Sequence[Room]) -> Placing | None:
    pack = spec.policy.placement == "pack"
    if spec.resources.is_mixed:
        parts = _mixed(spec, demand, rooms)
    elif not demand.per_rank:
        order = _fullest(demand, rooms, demand.least) if pack else _emptiest(demand, rooms)
        accounts = [account for account, _ in islice(order, demand.needs)]
        parts = [(account, demand.part_on(account)) for account in accounts]
        parts = parts if len(parts) == demand.needs else []
    else:
        resources = spec.resources
        parts = [(account, resources.part(ranks)) for account, ranks in _ranks(spec, demand, rooms) or ()]
    if not parts:
        return None
    parts.sort(key=lambda part: part[0].position)  # ranks are numbered in the order of the block's nodes
    return [(account.node.name, _whole(account, part) if demand.whole else part) for account, part in parts]


def _mixed(spec: TaskSpec, demand: Demand, rooms: Sequence[Room]) -> list[tuple[Account, Part]]:
    """Any nodes, in the block's order, for a gang of which only some ranks have GPUs."""
    resources = spec.resources
    usable = [account for account, _ in _emptiest(demand, rooms)]
    usable.sort(key=lambda account: account.position)
    if not demand.per_rank:
        return dealt(resources, usable, resources.ranks_per_node, resources.ranks_per_node)
    if spec.policy.placement == "spread":
        return dealt_evenly(resources, usable)
    tightest = (account for account, ranks in _fullest(demand, rooms, demand.least) if ranks >= demand.needs)
    alone = (dealt(resources, [account], demand.needs, demand.needs) for account in tightest)
    return next(filter(None, alone), []) or dealt(resources, usable, 1, demand.needs)


Counts = list[tuple[Account, int]]


def _ranks(spec: TaskSpec, demand: Demand, rooms: Sequence[Room]) -> Counts | None:
    """Any nodes: the tightest that holds all ranks, else as few as possible; `spread`: one rank at a time."""
    wanted = demand.needs
    if spec.policy.placement == "spread":
        return _deal(list(islice(_emptiest(demand, rooms), wanted)), wanted)
    for account, ranks in _fullest(demand, rooms, wanted * spec.resources.cores_per_rank):
        if ranks >= wanted:
            return [(account, wanted)]
    counts: Counts = []
    for account, ranks in _emptiest(demand, rooms):
        counts.append((account, min(ranks, wanted)))
        wanted -= counts[-1][1]
        if not wanted:
            return counts
    return None


def _deal(room: Counts, ranks: int) -> Counts | None:
    """Give each account a rank in turn while it has room."""
    if sum(most for _, most in room) < ranks:
        return None
    level = 0
    dealt = [0] * len(room)
    while ranks:
        level += 1
        for index, (_, most) in enumerate(room):
            if ranks and most >= level:
                dealt[index] += 1
                ranks -= 1
    return [(account, count) for (account, _), count in zip(room, dealt, strict=True)]
