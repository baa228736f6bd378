"""Who holds which cores, GPUs and memory of which node: leases only, and the only place that counts anything."""

import contextlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cached_property

import msgspec

from rhapsody_parsl.annotations.resources import Part
from rhapsody_parsl.errors import RhapsodyError
from rhapsody_parsl.pilot.account import Account, without_memory
from rhapsody_parsl.pilot.pool import Pool
from rhapsody_parsl.runtimes.protocol import Node
from rhapsody_parsl.wire.leases import Share

__all__ = ("Lease", "Ledger", "LedgerError")


_NO_GPUS = ((),)
"""Of the share of most leases, and the same for all of them."""


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
        for_service: Held by a service, for nobody knows how long.
    """

    id: int
    borrower: str
    shares: tuple[Share, ...]
    gpu_amounts: tuple[tuple[float, ...], ...]
    permanent: bool = False
    for_service: bool = False


class Ledger:
    """Leases over the nodes of one block.

    Args:
        nodes: The block's nodes; names must differ.

    Attributes:
        accounts: The nodes' accounts by name.
        open: The nodes that are kept free for nobody.
        kept: Pools of the others.
        freed: Open nodes of which something was returned, until somebody clears it.
        cores: Cores of the block in all.
        cores_of_a_node: In the mean.
        away: Names of the nodes that are lost.
    """

    def __init__(self, nodes: Iterable[Node]) -> None:
        self.accounts = {node.name: Account(node, position) for position, node in enumerate(nodes)}
        self.open = Pool(self.accounts.values())
        self.kept: list[Pool] = []
        self.freed: dict[str, Account] = {}
        self.cores = sum(len(account.node.cores) for account in self.accounts.values())
        self.cores_of_a_node = self.cores // max(1, len(self.accounts))
        self.away: list[str] = []
        self._leases: dict[int, Lease] = {}
        self._count = 0
        self._best: dict[bool, Ledger] = {}
        self._beside: Ledger | None = None

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

    def acquire(
        self,
        borrower: str,
        parts: Sequence[tuple[str, Part]],
        *,
        permanent: bool = False,
        for_service: bool = False,
    ) -> Lease | None:
        """Lend all parts or nothing.

        Args:
            borrower: Who asks, for the record.
            parts: Node name and what is wanted of it; a node appears once.
            permanent: See `Lease`.
            for_service: See `Lease`.

        Returns:
            The lease, or None when one part does not fit now.

        Raises:
            LedgerError: A node appears twice.
        """
        if len(parts) > 1 and len({name for name, _ in parts}) != len(parts):
            raise LedgerError("a lease names a node twice", borrower)
        for name, part in parts:
            if not self.accounts[name].fits(part):
                return None
        lent = [self._lend(self.accounts[name], part) for name, part in parts]
        self._count += 1
        shares, amounts = tuple([share for share, _ in lent]), tuple([gpus for _, gpus in lent])
        amounts = _NO_GPUS if amounts == _NO_GPUS else amounts
        lease = Lease(self._count, borrower, shares, amounts, permanent, for_service)
        self._leases[lease.id] = lease
        self._forget_best(lease)
        return lease

    def _lend(self, account: Account, part: Part) -> tuple[Share, tuple[float, ...]]:
        lent = account.lend(part)
        account.pool.note(account)
        return lent

    def release(self, lease: Lease) -> None:
        """Take a lease back.

        Raises:
            LedgerError: It is not out (never lent, returned already, or another one by now).
        """
        if self._leases.get(lease.id) is not lease:
            raise LedgerError("a lease that is not out was returned", lease.borrower)
        del self._leases[lease.id]
        for share, amounts in zip(lease.shares, lease.gpu_amounts, strict=True):
            account = self.accounts[share.node]
            account.take_back(share, amounts)
            self._note_freed(account)
        self._forget_best(lease)

    def _forget_best(self, changed: Lease) -> None:
        if changed.permanent:
            self._best.clear()
            self._beside = None
        elif changed.for_service:
            self._beside = None

    def refit(self, lease: Lease, cores: int, memory: float) -> Lease | None:
        """Have a lease of one node hold other cores and memory from now on: it is another lease, of the same GPUs.

        Args:
            lease: It goes out, and what is returned comes in its place.
            cores: How many. Those that it holds stay, as far as there are to be as many.
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
        other = account.exchange(share, cores, memory)
        if other is None:
            return None
        self._note_freed(account)
        del self._leases[lease.id]
        self._count += 1
        changed = self._leases[self._count] = Lease(
            self._count, lease.borrower, (other,), lease.gpu_amounts, lease.permanent, lease.for_service
        )
        return changed

    def without_cores(self, lease: Lease) -> Lease:
        """Have a lease of one node hold its cores no more.

        Args:
            lease: It goes out, and what is returned comes in its place.

        Raises:
            LedgerError: It is not out, or no lease of one node.
        """
        if self._leases.get(lease.id) is not lease or len(lease.shares) != 1:
            raise LedgerError("a lease that is not out, or of several nodes, was to change", lease.borrower)
        (share,) = lease.shares
        account = self.accounts[share.node]
        account.take_back(Share(share.node, share.cores, (), 0.0), ())
        self._note_freed(account)
        shares = (Share(share.node, (), share.gpus, share.memory),)
        changed = self._leases[lease.id] = msgspec.structs.replace(lease, shares=shares)
        return changed

    def rest(self, lease: Lease) -> Lease:
        """Have a service's lease hold nothing but its memory; nobody counts on its being there for the block's life.

        Args:
            lease: It goes out, and what is returned comes in its place.

        Raises:
            LedgerError: It is not out.
        """
        self._check_out(lease)
        for share, amounts in zip(lease.shares, lease.gpu_amounts, strict=True):
            account = self.accounts[share.node]
            account.take_back(without_memory(share), amounts)
            self._note_freed(account)
        shares = tuple(Share(share.node, (), (), share.memory) for share in lease.shares)
        resting = msgspec.structs.replace(lease, shares=shares, gpu_amounts=((),) * len(shares), permanent=False)
        return self._exchange(lease, resting)

    def restore(self, resting: Lease, full: Lease) -> Lease | None:
        """Have a lease that rests hold again exactly the cores and GPUs that it held.

        Args:
            resting: It goes out, and what is returned comes in its place.
            full: What it was.

        Returns:
            The lease as it is now; None, and nothing has changed, when others hold a part of that.

        Raises:
            LedgerError: It is not out.
        """
        self._check_out(resting)
        parts = [(self.accounts[share.node], without_memory(share)) for share in full.shares]
        wanted = [(*part, amounts) for part, amounts in zip(parts, full.gpu_amounts, strict=True)]
        if not all(account.has_exactly(share, amounts) for account, share, amounts in wanted):
            return None
        for account, share, amounts in wanted:
            account.take_exactly(share, amounts)
            account.pool.note(account)
        pairs = zip(full.shares, resting.shares, strict=True)
        shares = tuple(Share(one.node, one.cores, one.gpus, rests.memory) for one, rests in pairs)
        return self._exchange(resting, msgspec.structs.replace(full, shares=shares, permanent=False))

    def _check_out(self, lease: Lease) -> None:
        if self._leases.get(lease.id) is not lease:
            raise LedgerError("a lease that is not out was to change", lease.borrower)

    def _exchange(self, before: Lease, after: Lease) -> Lease:
        self._leases[after.id] = after
        self._forget_best(before)
        return after

    def set_away(self, name: str, away: bool) -> None:
        """A node is lost, or is there again; what is lent of it stays lent until it is returned."""
        account = self.accounts[name]
        account.away = away
        self._note_freed(account)
        self.away = sorted({*self.away, name} if away else {*self.away} - {name})
        self._best.clear()
        self._beside = None

    def expect(self, hosts: Collection[str]) -> None:
        """Hosts are still to come: nothing is lent of their nodes until `set_away`, and they are counted on."""
        for account in self.accounts.values():
            if account.node.host in hosts:
                account.away = True
                self._note_freed(account)

    @contextlib.contextmanager
    def with_late(self) -> Iterator[None]:
        """Lend of nodes that are still to come, too, for this once; none is lost yet."""
        late = {account.node.host for account in self.accounts.values() if account.away}
        for account in self.accounts.values():
            account.away = False
            self._note_freed(account)
        try:
            yield
        finally:
            self.expect(late)

    def _note_freed(self, account: Account) -> None:
        account.pool.note(account)
        if account.pool is self.open:
            self.freed[account.node.name] = account

    def keep(self, accounts: Iterable[Account]) -> Pool:
        """Set nodes apart, to be kept free for somebody; return them."""
        pool = Pool()
        self.kept.append(pool)
        for account in accounts:
            self.move(account, pool)
        return pool

    def move(self, account: Account, pool: Pool) -> None:
        """A node is kept free for somebody else, or for nobody."""
        account.pool.remove(account)
        pool.put(account)
        if pool is self.open:
            self.freed[account.node.name] = account

    def open_up(self, pool: Pool) -> None:
        """Keep these nodes free no more."""
        self.kept.remove(pool)
        for account in list(pool):
            self.move(account, self.open)

    def lease(self, number: int) -> Lease:
        """Return a lease that is out."""
        return self._leases[number]

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
            lasting = [lease for lease in self._leases.values() if lease.permanent]
            self._best[whole] = self._with_only(lasting, () if whole else self.away)
        return self._best[whole]

    def at_best_beside(self, held: Iterable[Lease]) -> "Ledger":
        """Return a ledger as it will be when every task is done but those that hold these; not to be changed."""
        lasting = [lease for lease in self._leases.values() if lease.permanent]
        return self._with_only([*lasting, *held], self.away)

    def beside_services(self) -> "Ledger":
        """Return the same with all that services hold now, which may last as long; not to be changed."""
        if self._beside is None:
            held = [lease for lease in self._leases.values() if lease.permanent or lease.for_service]
            all_last = all(lease.permanent for lease in held)
            self._beside = self.at_best() if all_last else self._with_only(held, self.away)
        return self._beside

    def _with_only(self, leases: Iterable[Lease], away: Iterable[str]) -> "Ledger":
        """Return a ledger of the same nodes of which only these leases are out."""
        ledger = Ledger(account.node for account in self.accounts.values())
        for name in away:
            ledger.set_away(name, away=True)
        for lease in leases:
            for share, amounts in zip(lease.shares, lease.gpu_amounts, strict=True):
                account = ledger.accounts[share.node]
                account.take_exactly(share, amounts)
                account.pool.note(account)
        return ledger
