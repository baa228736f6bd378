"""Which idle replicas go for those who wait, and when they are back."""

from typing import Any

import pytest

from rhapsody_parsl.annotations.resources import Part
from rhapsody_parsl.pilot.demand import Demand
from rhapsody_parsl.pilot.lateness import PATIENCE
from rhapsody_parsl.pilot.ledger import Lease, Ledger
from rhapsody_parsl.pilot.yielding import sought
from testing.fleet import Fleet
from testing.nodes import make_nodes, make_spec
from testing.simulation import FakeRuntime, Simulation, kinds


class Block:
    """Nodes with GPUs, all of whose GPUs services hold; the lease of each bears its place: node and GPU."""

    def __init__(self, nodes: int = 2, gpus: int = 2, cores: int = 8) -> None:
        self.ledger = Ledger(make_nodes(nodes, cores=cores, gpus=gpus))
        self.leases: list[Lease] = []
        for name in self.ledger.accounts:
            for gpu in range(gpus):
                lease = self.ledger.acquire(f"{name}.{gpu}", [(name, Part(cores=1, gpus=1, gpu_unit=1))])
                assert lease
                self.leases.append(lease)

    def sought(self, *specs: Any, offered: list[Lease] | None = None) -> list[str]:
        demands = [Demand(spec) for spec in specs]
        chosen = sought(demands, list(self.ledger.accounts.values()), self.leases if offered is None else offered)
        return [lease.borrower for lease in chosen]


def test_as_many_go_as_one_needs_and_those_that_come_first() -> None:
    block = Block()
    assert block.sought(make_spec(gpus=1)) == ["n0.0"]
    assert block.sought(make_spec(gpus=2)) == ["n0.0", "n0.1"]
    assert block.sought(make_spec(gpus=2), offered=block.leases[1:]) == ["n1.0", "n1.1"], "n0 has one that stays"
    assert block.sought(make_spec(num_ranks=3, gpus_per_rank=1)) == ["n0.0", "n0.1", "n1.0"]
    assert block.sought(make_spec(num_nodes=2, ranks_per_node=1, gpus_per_rank=1)) == ["n0.0", "n1.0"]
    assert block.sought(make_spec(cores=7)) == ["n0.0"]


def test_nobody_goes_for_one_who_has_room_or_will_have_none() -> None:
    block = Block()
    assert block.sought(make_spec(cores=6)) == []
    assert block.sought(make_spec(gpus=2), offered=[block.leases[0], block.leases[2]]) == []
    assert block.sought(make_spec(num_ranks=4, gpus_per_rank=1), offered=block.leases[:3]) == []
    assert block.sought(make_spec(cores=6), make_spec(gpus=2), make_spec(gpus=1)) == ["n0.0", "n0.1"]
    assert block.sought(make_spec(gpus=2), make_spec(gpus=1), offered=block.leases[3:]) == ["n1.1"]
    assert block.sought(make_spec(labels=["none"], gpus=1)) == []


def mixed(with_gpus: int, without: int, **fields: Any) -> Any:
    """Return a gang of which only the first ranks have GPUs."""
    groups = [{"ranks": with_gpus}, {"ranks": without, "gpus": False}]
    return make_spec(runtime="mpi", groups=groups, gpus_per_rank=1, **fields)


def test_as_many_go_as_the_ranks_with_gpus_of_a_mixed_gang_need() -> None:
    block = Block()
    assert block.sought(mixed(1, 3)) == ["n0.0"]
    assert block.sought(mixed(3, 1)) == ["n0.0", "n0.1", "n1.0"]
    assert block.sought(mixed(1, 3, num_nodes=2, ranks_per_node=2)) == ["n0.0"]
    assert block.sought(mixed(3, 1, num_nodes=2, ranks_per_node=2)) == ["n0.0", "n0.1", "n1.0"]
    assert block.sought(mixed(5, 1)) == [], "there are four"
    block.ledger.release(block.leases[0])
    assert block.sought(mixed(1, 3), offered=block.leases[1:]) == [], "it has room"


def test_part_of_a_gpu_comes_back_with_its_lease() -> None:
    block = Block(nodes=1, gpus=1)
    block.ledger.release(block.leases[0])
    halves = [block.ledger.acquire(half, [("n0", Part(cores=1, gpus=0.5, gpu_unit=0.5))]) for half in "ab"]
    offered = [half for half in halves if half]
    assert block.sought(make_spec(gpus=0.5), offered=offered) == ["a"]
    assert block.sought(make_spec(gpus=1), offered=offered) == ["a", "b"]


def with_gpus(gpus: int = 4) -> Simulation:
    return Simulation(make_nodes(1, cores=16, gpus=gpus), {"mpi": FakeRuntime(), "local": FakeRuntime()})


def test_a_gang_has_the_gpus_of_three_idle_replicas_and_they_come_back_with_the_requests() -> None:
    block = with_gpus()
    block.seconds.update(dict.fromkeys(range(1, 4), 20.0))
    fleet = Fleet(block, 1, 4, lambda now: 16 if now < 5 or 22 < now < 60 else 0, until=150.0)
    block.submit(make_spec(num_ranks=3, gpus_per_rank=1), 1, when=8.0)
    block.submit(make_spec(gpus=3), 2, 3, when=15.0)
    block.run()
    assert kinds(block) == dict.fromkeys(range(1, 4), "ok")
    counts = dict(fleet.counts)
    assert counts[7.0] == 4
    began = {task: times[0] for task, times in block.started.items()}
    assert 8 + PATIENCE <= began[1] < 8 + PATIENCE + 1
    assert min(counts.values()) == 1, "the one that is there without requests never goes"
    back = next(now for now, count in fleet.counts if now > 22 and count == 4)
    assert back < began[1] + 21, "replicas come before tasks that wait"
    assert {count for now, count in fleet.counts if back <= now < 60} == {4}
    assert 60 < began[2] < 60 + PATIENCE
    assert began[3] < began[2] + 21


def test_replicas_that_work_do_not_go() -> None:
    block = with_gpus()
    fleet = Fleet(block, 0, 4, lambda now: 16, until=30.0)
    block.submit(make_spec(gpus=1), 1, when=5.0)
    block.run(until=30.0)
    assert {count for now, count in fleet.counts if now > 1} == {4}
    assert 1 not in block.started


@pytest.mark.parametrize("lend", [0.0, 1.0])
def test_who_never_lends_keeps_all_until_it_shrinks(lend: float) -> None:
    block = with_gpus()
    Fleet(block, 0, 4, lambda now: 16 if now < 5 else 0, lend=lend, idle=40.0)
    block.submit(make_spec(gpus=4), 1, when=6.0)
    block.run(until=100.0)
    assert (block.started[1][0] > 40) == (not lend)
