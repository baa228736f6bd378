"""Where a task goes: a pure function of its spec and the ledger.

`place` answers for now, `can_ever_fit` for the day when every other task is done, `reserve` names the nodes to keep
free for a gang that has waited long enough.
"""

from collections.abc import Collection, Iterable, Iterator
from itertools import islice

from rhapsody_parsl.annotations.resources import Part
from rhapsody_parsl.annotations.task_spec import TaskSpec
from rhapsody_parsl.pilot.ledger import Account, Ledger, Shelf

__all__ = ("Placing", "can_ever_fit", "place", "reserve", "why_never")

Placing = list[tuple[str, Part]]
"""Node names and what is taken of each."""


def place(spec: TaskSpec, ledger: Ledger, closed: Collection[str] = (), near: str = "") -> Placing | None:
    """Return where the task can start now, or None.

    Args:
        spec: The task's.
        ledger: The block's.
        closed: Nodes kept free for somebody else.
        near: Node to prefer.
    """
    if spec.resources.is_mpi:
        return _place_gang(spec, ledger.shelf, closed)
    if near in ledger.accounts:
        placing = _place_single(spec, _usable([ledger.accounts[near]], spec, closed))
        if placing is not None:
            return placing
    return _place_somewhere(spec, ledger.shelf, closed)


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


def reserve(spec: TaskSpec, ledger: Ledger, closed: Collection[str] = ()) -> set[str]:
    """Return the nodes to keep free so that the task can start: of those it could use, the ones with most room now."""
    best = ledger.at_best().accounts
    candidates = (
        best[account.node.name]
        for account in ledger.shelf.emptiest_first(0)
        if account.node.name not in closed and _labelled(account, spec)
    )
    chosen: list[Account] = []
    while more := list(islice(candidates, max(1, len(chosen)))):
        chosen += more
        if _fits(spec, chosen):
            return {account.node.name for account in chosen[: _fewest(spec, chosen)]}
    return set()


def _fewest(spec: TaskSpec, accounts: list[Account]) -> int:
    """Return how many of the first accounts are enough, when all are: more never hinder."""
    low, high = 1, len(accounts)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if _fits(spec, accounts[:middle]) else (middle + 1, high)
    return low


def _fits(spec: TaskSpec, accounts: list[Account]) -> bool:
    shelf = Shelf(accounts)
    placing = _place_gang(spec, shelf, ()) if spec.resources.is_mpi else _place_somewhere(spec, shelf, ())
    return placing is not None


def _labelled(account: Account, spec: TaskSpec) -> bool:
    return not spec.policy.labels or account.labels.issuperset(spec.policy.labels)


def _usable(accounts: Iterable[Account], spec: TaskSpec, closed: Collection[str]) -> Iterable[Account]:
    if not closed and not spec.policy.labels:
        return accounts
    return (account for account in accounts if account.node.name not in closed and _labelled(account, spec))


def _place_somewhere(spec: TaskSpec, shelf: Shelf, closed: Collection[str]) -> Placing | None:
    """One node, the fullest that has room for `pack`, else the emptiest."""
    cores = spec.resources.cores
    order = shelf.fullest_first(cores) if spec.policy.placement == "pack" else shelf.emptiest_first(cores)
    return _place_single(spec, _usable(order, spec, closed))


def _place_single(spec: TaskSpec, accounts: Iterable[Account]) -> Placing | None:
    part = spec.resources.single()
    exclusive = spec.policy.placement == "exclusive"
    for account in accounts:
        if account.fits(part) and (not exclusive or account.untouched):
            return [(account.node.name, _whole(account, part) if exclusive else part)]
    return None


def _whole(account: Account, part: Part) -> Part:
    node = account.node
    gpus = float(len(node.gpus))
    return Part(len(node.cores), gpus, 1.0 if gpus else 0.0, max(node.memory, part.memory), part.ranks)


def _place_gang(spec: TaskSpec, shelf: Shelf, closed: Collection[str]) -> Placing | None:
    resources = spec.resources
    whole = spec.policy.placement == "exclusive" or not resources.num_ranks
    counts = _ranks_on_nodes(spec, shelf, closed, whole) if resources.num_nodes else _ranks(spec, shelf, closed, whole)
    if counts is None:
        return None
    counts.sort(key=lambda count: count[0].position)  # ranks are numbered in the order of the block's nodes
    parts = [(account, resources.part(ranks)) for account, ranks in counts]
    return [(account.node.name, _whole(account, part) if whole else part) for account, part in parts]


Counts = list[tuple[Account, int]]


def _ranks_on_nodes(spec: TaskSpec, shelf: Shelf, closed: Collection[str], whole: bool) -> Counts | None:
    """A fixed number of nodes with equally many ranks on each; without a number of ranks, one a core on whole nodes."""
    resources = spec.resources
    least = resources.cores_per_rank * (resources.ranks_per_node or 1)
    order = shelf.fullest_first(least) if spec.policy.placement == "pack" else shelf.emptiest_first(least)
    counts: Counts = []
    for account in _usable(order, spec, closed):
        ranks = resources.ranks_per_node or len(account.node.cores) // resources.cores_per_rank
        if account.fits(resources.part(ranks)) and (account.untouched or not whole):
            counts.append((account, ranks))
        if len(counts) == resources.num_nodes:
            return counts
    return None


def _ranks(spec: TaskSpec, shelf: Shelf, closed: Collection[str], whole: bool) -> Counts | None:
    """Any nodes: the tightest that holds all ranks, else as few as possible; `spread`: one rank at a time."""
    resources = spec.resources
    wanted, one = resources.num_ranks, resources.part(1)

    def room(accounts: Iterable[Account]) -> Iterator[tuple[Account, int]]:
        usable = (a for a in _usable(accounts, spec, closed) if a.untouched or not whole)
        return ((account, ranks) for account in usable if (ranks := account.ranks(one)))

    if spec.policy.placement == "spread":
        return _deal(list(islice(room(shelf.emptiest_first(one.cores)), wanted)), wanted)
    for account, ranks in room(shelf.fullest_first(wanted * one.cores)):
        if ranks >= wanted:
            return [(account, wanted)]
    counts: Counts = []
    for account, ranks in room(shelf.emptiest_first(one.cores)):
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
