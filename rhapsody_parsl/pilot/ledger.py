"""Who holds which cores, GPUs and memory of which node: leases only, and the only place that counts anything."""

import heapq
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

import msgspec

from rhapsody_parsl.annotations.resources import Part
from rhapsody_parsl.errors import RhapsodyError
from rhapsody_parsl.runtimes.protocol import Node
from rhapsody_parsl.wire.messages import Share

__all__ = ("Account", "Lease", "Ledger", "LedgerError", "Shelf")

_DUST = 1e-9
_BYTES = 9
"""Decimals of a GB and of a GPU's share: sums are rounded, so that nothing is lost over a million leases."""


class LedgerError(RhapsodyError):
    """A borrower holds a lease already, or a lease is returned that is not out: a defect of the pilot."""


class Lease(msgspec.Struct, frozen=True, gc=False):
    """What a borrower holds.

    Attributes:
        id: Number, unique in the ledger.
        borrower: Who holds it.
        shares: One for each node.
        gpu_amounts: For each share, how much of each of its GPUs.
        permanent: Held for the block's life (a service): what is left is all that tasks will ever see.
    """

    id: int
    borrower: str
    shares: tuple[Share, ...]
    gpu_amounts: tuple[tuple[float, ...], ...]
    permanent: bool = False


class Account:
    """The free cores, GPUs and memory of one node; `position` is its place in the block.

    A node that is `away` (lost) lends nothing.
    """

    __slots__ = ("_free_cores", "away", "gpus", "labels", "memory", "node", "position")

    def __init__(self, node: Node, position: int = 0) -> None:
        self.node, self.position = node, position
        self.labels = frozenset(node.labels)
        self.away = False
        self._free_cores = list(node.cores)
        heapq.heapify(self._free_cores)
        self.gpus = [1.0] * len(node.gpus)
        self.memory = round(node.memory, _BYTES)

    @property
    def free_cores(self) -> int:
        """Number of free cores."""
        return len(self._free_cores)

    @property
    def free_gpus(self) -> float:
        """How much of its GPUs is free, all together."""
        return round(sum(self.gpus), _BYTES)

    @property
    def untouched(self) -> bool:
        """Whether nothing of the node is lent."""
        return (
            self.free_cores == len(self.node.cores)
            and all(free == 1.0 for free in self.gpus)
            and self.memory == round(self.node.memory, _BYTES)
        )

    def fits(self, part: Part) -> bool:
        """Whether the part could be lent now."""
        return (
            not self.away
            and part.cores <= self.free_cores
            and part.memory <= self.memory + _DUST
            and (part.gpus == 0 or self._pick_gpus(part) is not None)
        )

    def ranks(self, one: Part) -> int:
        """How many times `one` rank's part could be lent now; memory counts once for all."""
        if self.away or one.memory > self.memory + _DUST:
            return 0
        by_cores = self.free_cores // one.cores if one.cores else self.free_cores
        if not one.gpus:
            return by_cores
        whole = sum(free == 1.0 for free in self.gpus)
        by_gpus = whole // int(one.gpus) if one.gpus >= 1 else sum(int(free / one.gpus + _DUST) for free in self.gpus)
        return min(by_cores, by_gpus)

    def lend(self, part: Part) -> tuple[Share, tuple[float, ...]]:
        """Take a part that fits."""
        gpus = self._pick_gpus(part) or {}
        near = [self.node.near[index] for index in gpus] if self.node.near else []
        cores = self._take_cores(part.cores, near)
        memory = round(part.memory, _BYTES)
        if memory:
            self.memory = round(self.memory - memory, _BYTES)
        for index, amount in gpus.items():
            self.gpus[index] = max(0.0, round(self.gpus[index] - amount, _BYTES))
        return Share(self.node.name, cores, tuple(gpus), memory), tuple(gpus.values())

    def _take_cores(self, count: int, near: Sequence[Sequence[int]]) -> tuple[int, ...]:
        """Take free cores, the lowest first; where the kernel says what is near GPUs, as many near each, in order."""
        if not near or not any(near):
            return tuple(heapq.heappop(self._free_cores) for _ in range(count))
        free, taken = sorted(self._free_cores), list[int]()
        for cores in near:
            close = set(cores)
            taken += [core for core in free if core in close and core not in taken][: count // len(near)]
        taken += [core for core in free if core not in taken][: count - len(taken)]
        self._free_cores = [core for core in free if core not in taken]
        return tuple(taken)

    def take_back(self, share: Share, amounts: Sequence[float]) -> None:
        """Undo `lend`."""
        for core in share.cores:
            heapq.heappush(self._free_cores, core)
        if share.memory:
            self.memory = round(self.memory + share.memory, _BYTES)
        for index, amount in zip(share.gpus, amounts, strict=True):
            self.gpus[index] = round(self.gpus[index] + amount, _BYTES)
            if self.gpus[index] > 1.0 - 1e-6:
                self.gpus[index] = 1.0

    def take_exactly(self, share: Share, amounts: Sequence[float]) -> None:
        """Take what a share of another ledger over the same nodes holds."""
        self._free_cores = [core for core in self._free_cores if core not in share.cores]
        heapq.heapify(self._free_cores)
        self.memory = round(self.memory - share.memory, _BYTES)
        for index, amount in zip(share.gpus, amounts, strict=True):
            self.gpus[index] = max(0.0, self.gpus[index] - amount)

    def _pick_gpus(self, part: Part) -> dict[int, float] | None:
        if part.gpus == 0:
            return {}
        if part.gpu_unit >= 1:
            whole = [index for index, free in enumerate(self.gpus) if free == 1.0]
            return dict.fromkeys(whole[: int(part.gpus)], 1.0) if len(whole) >= part.gpus else None
        return self._pick_shares(part.gpu_unit, max(1, round(part.gpus / part.gpu_unit)))

    def _pick_shares(self, unit: float, count: int) -> dict[int, float] | None:
        """Put `count` shares on the fullest GPUs that still have room, so that whole ones stay whole."""
        picked: dict[int, float] = {}
        for index in sorted(range(len(self.gpus)), key=lambda index: (self.gpus[index], index)):
            here = min(count, int(self.gpus[index] / unit + _DUST))
            if here:
                picked[index] = here * unit
                count -= here
        return picked if count == 0 else None


class Shelf:
    """Accounts in order of their free cores, so that a decision looks at a few of ten thousand nodes.

    Nodes are taken from the front: a plain dict keeps the gaps there, and whoever looks for its first has to pass them.

    Args:
        accounts: Any accounts; whoever changes one's free cores wraps that in `take` and `put`.
    """

    def __init__(self, accounts: Iterable[Account]) -> None:
        self._levels: list[OrderedDict[str, Account]] = []
        self._top = -1
        for account in accounts:
            self.put(account)

    def put(self, account: Account) -> None:
        """Place an account where its free cores belong."""
        free = account.free_cores
        while len(self._levels) <= free:
            self._levels.append(OrderedDict())
        self._levels[free][account.node.name] = account
        self._top = max(self._top, free)

    @property
    def most(self) -> int:
        """Free cores of the emptiest account."""
        while self._top > 0 and not self._levels[self._top]:
            self._top -= 1
        return self._top

    def take(self, account: Account) -> None:
        """Take an account out, before its free cores change."""
        del self._levels[account.free_cores][account.node.name]

    def fullest_first(self, least: int) -> Iterator[Account]:
        """Yield the accounts with at least `least` free cores, those with the fewest first."""
        for level in self._levels[least:]:
            yield from level.values()

    def emptiest_first(self, least: int) -> Iterator[Account]:
        """Yield the accounts with at least `least` free cores, those with the most first."""
        for level in reversed(self._levels[least:]):
            yield from level.values()


class Ledger:
    """Leases over the nodes of one block.

    Args:
        nodes: The block's nodes; names must differ.

    Attributes:
        accounts: The nodes' accounts by name.
        shelf: The same in order of free cores.
        cores: Cores of the block in all.
        free_cores: Of these, the free ones, those of lost nodes too.
        away: Names of the nodes that are lost.
    """

    def __init__(self, nodes: Iterable[Node]) -> None:
        self.accounts = {node.name: Account(node, position) for position, node in enumerate(nodes)}
        self.shelf = Shelf(self.accounts.values())
        self.cores = sum(len(account.node.cores) for account in self.accounts.values())
        self.free_cores = self.cores
        self.away: list[str] = []
        self._leases: dict[int, Lease] = {}
        self._count = 0
        self._best: dict[bool, Ledger] = {}

    @cached_property
    def _alike(self) -> dict[str, str]:
        """For each label one that stands for all that the same nodes carry; "" for those that all nodes carry."""
        carriers: dict[str, list[str]] = {}
        for name, account in self.accounts.items():
            for label in account.labels:
                carriers.setdefault(label, []).append(name)
        first: dict[tuple[str, ...], str] = {tuple(self.accounts): ""}
        return {label: first.setdefault(tuple(names), label) for label, names in carriers.items()}

    def alike(self, labels: Sequence[str]) -> tuple[str, ...]:
        """Return what labels choose the same nodes; the same for all such, and itself where no node carries one."""
        return tuple(sorted({self._alike.get(label, label) for label in labels} - {""})) if labels else ()

    def acquire(self, borrower: str, parts: Sequence[tuple[str, Part]], permanent: bool = False) -> Lease | None:
        """Lend all parts or nothing.

        Args:
            borrower: Who asks, for the record.
            parts: Node name and what is wanted of it; a node appears once.
            permanent: See `Lease`.

        Returns:
            The lease, or None when one part does not fit now.

        Raises:
            LedgerError: A node appears twice.
        """
        if len(parts) > 1 and len({name for name, _ in parts}) != len(parts):
            raise LedgerError("a lease names a node twice", borrower)
        if not all(self.accounts[name].fits(part) for name, part in parts):
            return None
        lent = [self._lend(self.accounts[name], part) for name, part in parts]
        self._count += 1
        lease = Lease(self._count, borrower, tuple(s for s, _ in lent), tuple(a for _, a in lent), permanent)
        self._leases[lease.id] = lease
        if permanent:
            self._best.clear()
        return lease

    def _lend(self, account: Account, part: Part) -> tuple[Share, tuple[float, ...]]:
        self.shelf.take(account)
        lent = account.lend(part)
        self.free_cores -= part.cores
        self.shelf.put(account)
        return lent

    def release(self, lease: Lease) -> None:
        """Take a lease back.

        Raises:
            LedgerError: It is not out (never lent, or returned already).
        """
        if self._leases.pop(lease.id, None) is None:
            raise LedgerError("a lease that is not out was returned", lease.borrower)
        for share, amounts in zip(lease.shares, lease.gpu_amounts, strict=True):
            account = self.accounts[share.node]
            self.shelf.take(account)
            account.take_back(share, amounts)
            self.free_cores += len(share.cores)
            self.shelf.put(account)
        if lease.permanent:
            self._best.clear()

    def refit(self, lease: Lease, memory: float) -> Lease | None:
        """Have a lease of one node hold other memory from now on.

        Args:
            lease: It goes out, and what is returned comes in its place.
            memory: GB.

        Returns:
            The lease as it is now; None, and nothing has changed, when the node has not so much free.

        Raises:
            LedgerError: It is not out, or no lease of one node.
        """
        if self._leases.get(lease.id) is not lease or len(lease.shares) != 1:
            raise LedgerError("a lease that is not out, or of several nodes, was to change", lease.borrower)
        (share,) = lease.shares
        account = self.accounts[share.node]
        memory = round(memory, _BYTES)
        left = round(account.memory + share.memory - memory, _BYTES)
        if memory > share.memory and (left < 0 or account.away):
            return None
        account.memory = left
        shares = (Share(share.node, share.cores, share.gpus, memory),)
        changed = Lease(lease.id, lease.borrower, shares, lease.gpu_amounts, lease.permanent)
        self._leases[lease.id] = changed
        return changed

    def set_away(self, name: str, away: bool) -> None:
        """A node is lost, or is there again; what is lent of it stays lent until it is returned."""
        self.accounts[name].away = away
        self.away = sorted({*self.away, name} if away else {*self.away} - {name})
        self._best.clear()

    @property
    def leases(self) -> list[Lease]:
        """All leases that are out, oldest first."""
        return list(self._leases.values())

    def at_best(self, whole: bool = False) -> "Ledger":
        """Return a ledger as it will be when every task is done: only permanent leases are out; not to be changed.

        Args:
            whole: As if no node were lost.
        """
        if whole not in self._best:
            best = self._best[whole] = Ledger(account.node for account in self.accounts.values())
            for name in () if whole else self.away:
                best.accounts[name].away = True
            for lease in self._leases.values():
                if lease.permanent:
                    for share, amounts in zip(lease.shares, lease.gpu_amounts, strict=True):
                        best.accounts[share.node].take_exactly(share, amounts)
            best.shelf = Shelf(best.accounts.values())
        return self._best[whole]
