"""Where a task goes: a pure function of its spec and the ledger.

`place` answers for now, `can_ever_fit` for the day when every other task is done, `reserve` names the nodes to keep free
for a gang that has waited long enough.
"""

from collections.abc import Collection, Iterable

from rhapsody_parsl.pilot.ledger import Account, Ledger
from rhapsody_parsl.spec.resources import Part
from rhapsody_parsl.spec.task_spec import TaskSpec

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
    open_accounts = [a for a in ledger.accounts.values() if a.node.name not in closed and _labelled(a, spec)]
    if spec.resources.is_mpi:
        return _place_gang(spec, open_accounts)
    return _place_single(spec, open_accounts, near)


def can_ever_fit(spec: TaskSpec, ledger: Ledger) -> bool:
    """Whether the task could start once every other task is done."""
    return place(spec, ledger.at_best()) is not None


def why_never(spec: TaskSpec, ledger: Ledger) -> str:
    """Say what the block would need; for a task that can never fit."""
    best = ledger.at_best().accounts.values()
    usable = [account for account in best if _labelled(account, spec)]
    if not usable:
        return f"no node carries the labels {', '.join(spec.policy.labels)}"
    resources = spec.resources
    cores, gpus = max(a.free_cores for a in usable), max(len(a.node.gpus) for a in usable)
    memory = max(a.memory for a in usable)
    has = f"the largest node offers tasks {cores} cores, {gpus} GPUs and {memory:g} GB"
    if not resources.is_mpi:
        return (
            f"it asks {resources.cores} cores, {resources.gpus:g} GPUs and {resources.memory:g} GB of one node; {has}"
        )
    total = sum(account.free_cores for account in usable)
    asked = resources.num_ranks * resources.cores_per_rank
    return (
        f"it asks {resources.num_ranks or 'one rank a core,'} ranks on {resources.num_nodes or 'any number of'} nodes "
        f"({asked or 'all'} cores, {resources.gpus_per_rank:g} GPUs a rank); the block offers tasks {len(usable)} nodes "
        f"with {total} cores in all, and {has}"
    )


def reserve(spec: TaskSpec, ledger: Ledger, closed: Collection[str] = ()) -> set[str]:
    """Return the nodes to keep free so that the task can start: of those it could use, the ones with most room now."""
    best = ledger.at_best()
    candidates = sorted(
        (a for a in best.accounts.values() if a.node.name not in closed and _labelled(a, spec)),
        key=lambda a: -ledger.accounts[a.node.name].free_cores,
    )
    chosen: set[str] = set()
    for account in candidates:
        chosen.add(account.node.name)
        if place(spec, best, closed={name for name in best.accounts if name not in chosen}) is not None:
            return chosen
    return set()


def _labelled(account: Account, spec: TaskSpec) -> bool:
    return set(spec.policy.labels) <= set(account.node.labels)


def _in_order(accounts: Iterable[Account], spec: TaskSpec, near: str = "") -> list[Account]:
    """Fullest first for `pack`, emptiest first otherwise; the preferred node before all."""
    sign = 1 if spec.policy.placement == "pack" else -1
    return sorted(accounts, key=lambda account: (account.node.name != near, sign * account.free_cores))


def _place_single(spec: TaskSpec, accounts: list[Account], near: str) -> Placing | None:
    part = spec.resources.single()
    for account in _in_order(accounts, spec, near) if len(accounts) > 1 else accounts:
        if spec.policy.placement == "exclusive":
            if account.untouched and account.fits(part):
                return [(account.node.name, _whole(account, part))]
        elif account.fits(part):
            return [(account.node.name, part)]
    return None


def _whole(account: Account, part: Part) -> Part:
    node = account.node
    gpus = float(len(node.gpus))
    return Part(len(node.cores), gpus, 1.0 if gpus else 0.0, max(node.memory, part.memory), part.ranks)


def _place_gang(spec: TaskSpec, accounts: list[Account]) -> Placing | None:
    resources = spec.resources
    exclusive = spec.policy.placement == "exclusive"
    if exclusive or not resources.num_ranks:
        accounts = [account for account in accounts if account.untouched]
    if resources.num_nodes:
        return _place_on_nodes(spec, accounts, exclusive)
    return _place_ranks(spec, accounts, exclusive)


def _place_on_nodes(spec: TaskSpec, accounts: list[Account], exclusive: bool) -> Placing | None:
    """A fixed number of nodes with equally many ranks on each; without a number of ranks, one a core on whole nodes."""
    resources = spec.resources
    placing: Placing = []
    for account in _in_order(accounts, spec):
        ranks = resources.ranks_per_node or len(account.node.cores) // resources.cores_per_rank
        part = resources.part(ranks)
        if ranks and account.fits(part):
            whole = exclusive or not resources.num_ranks
            placing.append((account.node.name, _whole(account, part) if whole else part))
        if len(placing) == resources.num_nodes:
            return placing
    return None


def _place_ranks(spec: TaskSpec, accounts: list[Account], exclusive: bool) -> Placing | None:
    """Any nodes: the roomiest first, so that the gang stands on as few as possible (`spread`: one rank at a time)."""
    resources = spec.resources
    room = {account.node.name: account.ranks(resources.part(1)) for account in accounts}
    by_room = sorted((account for account in accounts if room[account.node.name]), key=lambda a: -room[a.node.name])
    if sum(room.values()) < resources.num_ranks:
        return None
    counts = (
        _spread(by_room, room, resources.num_ranks)
        if spec.policy.placement == "spread"
        else _fill(by_room, room, resources.num_ranks)
    )
    placing = []
    for account in by_room:
        ranks = counts.get(account.node.name, 0)
        if ranks:
            part = resources.part(ranks)
            placing.append((account.node.name, _whole(account, part) if exclusive else part))
    return placing


def _fill(accounts: list[Account], room: dict[str, int], ranks: int) -> dict[str, int]:
    for account in accounts:  # one node that holds all, the tightest of them, beats any split
        if room[account.node.name] >= ranks:
            tightest = min((a for a in accounts if room[a.node.name] >= ranks), key=lambda a: room[a.node.name])
            return {tightest.node.name: ranks}
    counts: dict[str, int] = {}
    for account in accounts:
        counts[account.node.name] = min(ranks, room[account.node.name])
        ranks -= counts[account.node.name]
    return counts


def _spread(accounts: list[Account], room: dict[str, int], ranks: int) -> dict[str, int]:
    counts = {account.node.name: 0 for account in accounts}
    while ranks:
        for name in counts:
            if ranks and counts[name] < room[name]:
                counts[name] += 1
                ranks -= 1
    return counts
