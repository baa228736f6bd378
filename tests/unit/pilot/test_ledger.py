import time
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from rhapsody_parsl.annotations.resources import Part
from rhapsody_parsl.pilot.ledger import Lease, Ledger, LedgerError
from rhapsody_parsl.pilot.levels import fullest_first
from rhapsody_parsl.runtimes.protocol import Node
from rhapsody_parsl.wire.leases import Share
from testing.nodes import make_node, make_nodes

shares = st.sampled_from([0.1, 0.2, 0.25, 0.3, 0.333, 0.5, 0.9])
parts = st.one_of(
    st.builds(Part, st.integers(0, 5), memory=st.floats(0, 40)),
    st.builds(lambda cores, gpus: Part(cores, float(gpus), 1.0 if gpus else 0.0), st.integers(0, 4), st.integers(0, 3)),
    st.builds(lambda unit, ranks: Part(ranks, round(unit * ranks, 6), unit, ranks=ranks), shares, st.integers(1, 5)),
)


class LedgerMachine(RuleBasedStateMachine):
    """Borrow and return at random; what is lent is counted a second way."""

    @initialize(counts=st.lists(st.tuples(st.integers(1, 6), st.integers(0, 3)), min_size=1, max_size=3))
    def begin(self, counts: list[tuple[int, int]]) -> None:
        self.nodes = [make_node(f"n{i}", cores, gpus, 64.0) for i, (cores, gpus) in enumerate(counts)]
        self.ledger = Ledger(self.nodes)
        self.out: list[tuple[Lease, dict[str, Part]]] = []
        self.full: dict[int, Lease] = {}

    @rule(data=st.data())
    def acquire(self, data: st.DataObject) -> None:
        names = data.draw(st.lists(st.sampled_from([n.name for n in self.nodes]), min_size=1, unique=True))
        wanted = [(name, data.draw(parts)) for name in names]
        fits = all(self.ledger.accounts[name].fits(part) for name, part in wanted)
        lease = self.ledger.acquire("somebody", wanted)
        assert (lease is not None) == fits
        if lease is not None:
            self.out.append((lease, dict(wanted)))
            for share, amounts in zip(lease.shares, lease.gpu_amounts, strict=True):
                part = dict(wanted)[share.node]
                assert len(share.cores) == part.cores
                assert sum(amounts) == pytest.approx(part.gpus)
                if part.gpu_unit >= 1:
                    assert set(amounts) <= {1.0}

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        lease, _ = self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))
        self.ledger.release(lease)
        with pytest.raises(LedgerError):
            self.ledger.release(lease)

    def one_node(self) -> list[int]:
        """Return the places of the leases of one node that do not rest."""
        return [n for n, (lease, _) in enumerate(self.out) if len(lease.shares) == 1 and lease.id not in self.full]

    @precondition(lambda self: self.one_node())
    @rule(data=st.data(), cores=st.integers(0, 7), memory=st.floats(0, 70))
    def refit(self, data: st.DataObject, cores: int, memory: float) -> None:
        place = data.draw(st.sampled_from(self.one_node()))
        lease, parts = self.out[place]
        (before,) = lease.shares
        account = self.ledger.accounts[before.node]
        free, has = account.free_cores, account.memory
        changed = self.ledger.refit(lease, cores, memory)
        if changed is None:
            assert cores > len(before.cores) + free or memory > before.memory + has - 1e-8
            assert (account.free_cores, account.memory) == (free, has), "nothing has changed"
            return
        self.out[place] = (changed, parts)
        assert account.memory >= 0
        (after,) = changed.shares
        assert (len(after.cores), after.gpus) == (cores, before.gpus)
        assert set(after.cores) <= set(before.cores) or set(before.cores) <= set(after.cores), "its own ones stay"
        assert after.memory == pytest.approx(memory, abs=1e-8)
        assert changed.id != lease.id, "a task is on record with what it held"
        with pytest.raises(LedgerError):
            self.ledger.release(lease)

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def rest(self, data: st.DataObject) -> None:
        lease, parts = self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))
        resting = self.ledger.rest(lease)
        assert [(share.cores, share.gpus) for share in resting.shares] == [((), ())] * len(lease.shares)
        assert [share.memory for share in resting.shares] == [share.memory for share in lease.shares]
        self.out.append((resting, parts))
        self.full[resting.id] = lease
        with pytest.raises(LedgerError):
            self.ledger.release(lease)

    @precondition(lambda self: any(lease.id in self.full for lease, _ in self.out))
    @rule(data=st.data())
    def restore(self, data: st.DataObject) -> None:
        place = data.draw(st.sampled_from([n for n, (lease, _) in enumerate(self.out) if lease.id in self.full]))
        resting, parts = self.out[place]
        held = {core for lease in self.ledger.leases for s in lease.shares for core in [(s.node, c) for c in s.cores]}
        full = self.full[resting.id]
        free = not held & {(s.node, core) for s in full.shares for core in s.cores}
        restored = self.ledger.restore(resting, full)
        assert restored is None or free
        if restored is not None:
            assert (restored.gpu_amounts, restored.shares) == (full.gpu_amounts, tuple(
                Share(s.node, s.cores, s.gpus, r.memory) for s, r in zip(full.shares, resting.shares, strict=True)
            ))  # fmt: skip
            self.out[place] = (restored, parts)
            del self.full[resting.id]

    @precondition(lambda self: self.out)
    @rule()
    def release_all(self) -> None:
        while self.out:
            self.ledger.release(self.out.pop()[0])
        assert all(account.untouched for account in self.ledger.accounts.values())
        assert all(account.memory == account.node.memory for account in self.ledger.accounts.values())

    @invariant()
    def leases_are_disjoint(self) -> None:
        held = [{(s.node, core) for s in lease.shares for core in s.cores} for lease in self.ledger.leases]
        assert not any(one & other for one, other in combinations(held, 2))

    @invariant()
    def nothing_is_made_or_lost(self) -> None:
        for account in self.ledger.accounts.values():
            mine = [(s, a) for lease, _ in self.out for s, a in _shares_of(lease) if s.node == account.node.name]
            lent = [core for share, _ in mine for core in share.cores]
            assert account.free_cores + len(lent) == len(account.node.cores)
            assert account.memory + sum(share.memory for share, _ in mine) == pytest.approx(64.0)
            used = [0.0] * len(account.node.gpus)
            for share, amounts in mine:
                for index, amount in zip(share.gpus, amounts, strict=True):
                    used[index] += amount
            assert all(amount <= 1.0 + 1e-6 for amount in used)
            assert all(free + amount == pytest.approx(1.0) for free, amount in zip(account.gpus, used, strict=True))


def _shares_of(lease: Lease) -> list[tuple[Share, tuple[float, ...]]]:
    return list(zip(lease.shares, lease.gpu_amounts, strict=True))


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)


def test_a_share_never_straddles_two_gpus() -> None:
    ledger = Ledger(make_nodes(1, gpus=2))
    for _ in range(2):
        assert ledger.acquire("a", [("n0", Part(1, 0.6, 0.6))])
    assert ledger.acquire("b", [("n0", Part(1, 0.6, 0.6))]) is None
    small = ledger.acquire("c", [("n0", Part(1, 0.4, 0.4))])
    assert small is not None
    assert len(small.shares[0].gpus) == 1


def test_shares_fill_a_gpu_before_they_touch_the_next() -> None:
    ledger = Ledger(make_nodes(1, gpus=2))
    for _ in range(2):
        ledger.acquire("half", [("n0", Part(0, 0.5, 0.5))])
    assert ledger.acquire("whole", [("n0", Part(0, 1.0, 1.0))]) is not None


def test_a_lease_names_a_node_once() -> None:
    ledger = Ledger(make_nodes(1))
    with pytest.raises(LedgerError):
        ledger.acquire("twice", [("n0", Part(1)), ("n0", Part(1))])
    assert ledger.accounts["n0"].untouched


def test_a_lease_is_all_or_nothing() -> None:
    ledger = Ledger(make_nodes(2))
    assert ledger.acquire("gang", [("n0", Part(4)), ("n1", Part(5))]) is None
    assert all(account.untouched for account in ledger.accounts.values())


@given(st.lists(st.floats(0.001, 30), min_size=1, max_size=200))
def test_memory_comes_back_to_the_byte(amounts: list[float]) -> None:
    ledger = Ledger([make_node("n0", cores=1, memory=100.1)])
    for amount in amounts:
        lease = ledger.acquire("one", [("n0", Part(1, memory=amount))])
        assert lease is not None
        ledger.release(lease)
    assert ledger.acquire("all", [("n0", Part(1, memory=100.1))]) is not None


def test_at_best_keeps_what_is_lent_for_good() -> None:
    ledger = Ledger(make_nodes(1, gpus=2))
    ledger.acquire("service", [("n0", Part(1, 1.0, 1.0, 10.0))], permanent=True)
    ledger.acquire("task", [("n0", Part(3, 1.0, 1.0))])
    best = ledger.at_best().accounts["n0"]
    assert (best.free_cores, sum(best.gpus), best.memory) == (3, 1.0, 54.0)
    assert ledger.accounts["n0"].free_cores == 0


def test_cores_lie_near_their_gpus() -> None:
    node = Node(
        name="n",
        host="n",
        cores=tuple(range(8)),
        real_cores=tuple(range(8)),
        gpus=("0", "1"),
        gpu_vendor="amd",
        near=((4, 5, 6, 7), (0, 1, 2, 3)),
    )
    ledger = Ledger([node])
    both = ledger.acquire("both", [("n", Part(4, 2.0, 1.0))])
    assert both is not None
    assert both.shares[0].cores == (4, 5, 0, 1), "half near each, in the order of the GPUs: ranks are cut from it"
    plain = ledger.acquire("plain", [("n", Part(2))])
    assert plain is not None
    assert plain.shares[0].cores == (2, 3)
    ledger.release(both)
    one = ledger.acquire("one", [("n", Part(6, 1.0, 1.0))])
    assert one is not None
    assert one.shares[0].cores == (4, 5, 6, 7, 0, 1), "what is near does not suffice"


def test_the_next_free_node_is_found_at_once_however_many_before_it_are_lent() -> None:
    ledger = Ledger(make_nodes(100_000, cores=1))

    def first() -> float:
        began = time.perf_counter()
        next(fullest_first([ledger.open.parts], 1))
        return time.perf_counter() - began

    before = min(first() for _ in range(50))
    for number in range(50_000):
        ledger.acquire("task", [(f"n{number}", Part(1))])
    assert next(fullest_first([ledger.open.parts], 1)).node.name == "n50000"
    assert min(first() for _ in range(50)) < 8 * before + 1e-6, "the gaps are passed one by one"


def test_a_lease_of_one_node_gets_more_or_less_in_place() -> None:
    ledger = Ledger(make_nodes(2, cores=4, memory=10.0))
    lease = ledger.acquire("a", [("n0", Part(1, memory=4.0))])
    other = ledger.acquire("b", [("n0", Part(1, memory=5.0))])
    assert lease
    assert other
    assert ledger.refit(lease, 1, 5.001) is None
    assert ledger.refit(lease, 4, 1.0) is None
    larger = ledger.refit(lease, 3, 5.0)
    assert larger
    assert larger.shares == (Share("n0", (0, 2, 3), (), 5.0),)
    assert ledger.leases == [other, larger]
    with pytest.raises(LedgerError):
        ledger.refit(lease, 1, 1.0)
    ledger.set_away("n0", away=True)
    smaller = ledger.refit(larger, 2, 0.1)
    assert smaller
    assert smaller.shares == (Share("n0", (0, 2), (), 0.1),)
    assert ledger.refit(smaller, 2, 0.2) is ledger.refit(smaller, 3, 0.1) is None, "a lost node lends nothing"
    assert (ledger.accounts["n0"].free_cores, ledger.accounts["n0"].memory) == (1, 4.9)
    ledger.release(smaller)
    ledger.release(other)
    assert ledger.accounts["n0"].untouched
    ledger.set_away("n0", away=False)
    gang = ledger.acquire("c", [("n0", Part(1)), ("n1", Part(1))])
    assert gang
    with pytest.raises(LedgerError):
        ledger.refit(gang, 1, 1.0)


def test_hosts_that_are_late_are_late_again_whatever_is_done_with_them() -> None:
    ledger = Ledger(make_nodes(2))
    ledger.expect([ledger.accounts["n1"].node.host])
    with pytest.raises(LedgerError), ledger.with_late():
        ledger.acquire("a", [("n1", Part(1)), ("n1", Part(1))])
    assert ledger.acquire("b", [("n1", Part(1))]) is None
    assert ledger.acquire("b", [("n0", Part(1))])
