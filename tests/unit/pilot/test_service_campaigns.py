"""Services that come and go among tasks: each has its lease in the end, each task ends, and no node stays kept."""

import random
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from rhapsody_parsl.annotations.resources import Resources
from rhapsody_parsl.annotations.task_spec import TaskSpec
from testing.nodes import make_nodes, make_spec
from testing.simulation import FakeRuntime, Simulation
from testing.sleepers import Sleeper


class Services:
    """Replicas that wait for a lease, hold it for a time, or are given up before."""

    def __init__(self, block: Simulation, chance: random.Random) -> None:
        self._block, self._chance = block, chance
        self.leases = block.under_way.for_services
        self.leases.lasting = False
        self.leases.on_change = lambda: block.at(block.now, lambda: block.core.room_changed(block.now))
        self.waiting: set[int] = set()

    def ask(self, number: int) -> None:
        nodes = self._chance.randint(1, 2)
        wide = Resources(num_nodes=nodes, num_ranks=4 * nodes, ranks_per_node=4)
        wants = TaskSpec(resources=self._chance.choice([wide, Resources(cores=self._chance.randint(0, 4), gpus=1.0)]))
        self.waiting.add(number)
        withdraw = self.leases.ask(f"s[{number}]", wants, "", lambda loan: self._granted(number, loan.give_back))
        if self._chance.random() < 0.3:
            self._block.at(self._block.now + 5 * self._chance.random(), lambda: self._give_up(number, withdraw))

    def _granted(self, number: int, give_back: Callable[[], None]) -> None:
        self.waiting.remove(number)
        self._block.at(self._block.now + self._chance.choice([0.5, 5.0, 30.0]), give_back)

    def _give_up(self, number: int, withdraw: Callable[[], None]) -> None:
        self.waiting.discard(number)
        withdraw()


def submit_some(block: Simulation, chance: random.Random) -> int:
    """Submit tasks of many kinds; return how many."""
    for number in range(150):
        block.seconds[number] = chance.choice([0.001, 0.1, 1.0, 5.0])
        nodes = chance.randint(1, 2)
        kinds: list[dict[str, Any]] = [
            {"cores": chance.randint(1, 4), "memory": chance.choice([0.0, 3.0, 3.1])},
            {"cores": 1, "gpus": 1, "priority": chance.randint(-3, 3)},
            {"runtime": "mpi", "num_nodes": nodes, "ranks_per_node": 3, "num_ranks": 3 * nodes},
            {"runtime": "mpi", "num_ranks": chance.randint(1, 6)},
        ]
        block.submit(make_spec(chance.choice("ab"), **chance.choice(kinds)), number, when=40 * chance.random())
    return 150


@pytest.mark.parametrize("seed", range(30))
def test_each_replica_has_its_lease_and_each_task_ends(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - it has to be the same again
    runtimes = {"local": FakeRuntime(), "mpi": FakeRuntime()}
    block = Simulation(make_nodes(chance.randint(2, 6), cores=4, gpus=1, memory=16.0), runtimes)
    services = Services(block, chance)
    for number in range(6):
        block.at(40 * chance.random(), lambda number=number: services.ask(number))  # type: ignore[misc]  # bound here
    tasks = submit_some(block, chance)
    if seed % 3 == 0:
        block.at(20.0, lambda: block.lose_node("n1"))
        block.at(24.0, lambda: block.core.node_back("n1", block.now))
    block.run()
    block.core.tick(block.now + 1e6)
    assert len(block.ended) == tasks
    assert not services.waiting
    assert not services.leases.wanted
    assert not block.core.ledger.kept
    assert not block.core.ledger.leases


@pytest.mark.parametrize("seed", range(30))
def test_who_sleeps_lends_and_has_the_same_again_or_something_else(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - it has to be the same again
    runtimes = {"local": FakeRuntime(), "mpi": FakeRuntime()}
    block = Simulation(make_nodes(chance.randint(2, 4), cores=4, gpus=2, memory=16.0), runtimes)
    Services(block, chance)
    sleepers: list[Sleeper] = []

    def come(number: int) -> None:
        wants = TaskSpec(resources=Resources(cores=chance.randint(0, 2), gpus=float(chance.randint(1, 2)), memory=3.0))
        sleepers.append(Sleeper(block, f"s[{number}]", wants, chance, later=lambda s, do: block.at(block.now + s, do)))

    for number in range(4):
        block.at(10 * chance.random(), partial(come, number))
    tasks = submit_some(block, chance)
    if seed % 3 == 0:
        block.at(20.0, lambda: block.lose_node("n1"))
        block.at(24.0, lambda: block.core.node_back("n1", block.now))
    block.run()
    block.core.tick(block.now + 1e6)
    assert len(block.ended) == tasks
    assert [sleeper.over for sleeper in sleepers] == [True] * 4
    assert sum(sleeper.woken + sleeper.moved for sleeper in sleepers) > 4
    assert not block.under_way.for_services.wanted
    assert not block.core.ledger.kept
    assert not block.core.ledger.leases
    assert all(account.untouched for account in block.core.ledger.accounts.values())
