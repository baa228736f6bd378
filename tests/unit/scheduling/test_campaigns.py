"""Random campaigns under all orders: the books add up at every moment, nobody waits where there is room, all ends.

Tasks of one node and gangs, GPU shares, memory, labels, agents without cores, walltimes that are wrong by factors,
services that come and go, a node that is lost, launches that are limited, a block that ends or gives work back.
"""

import random
from collections import Counter
from functools import partial
from typing import Any

import pytest

from rhapsody_parsl.annotations.resources import Resources
from rhapsody_parsl.annotations.task_spec import TaskSpec, decode_spec
from rhapsody_parsl.pilot import scheduler
from rhapsody_parsl.pilot.demand import Demand
from rhapsody_parsl.scheduling.easy import Easy
from rhapsody_parsl.scheduling.fair import Fair
from rhapsody_parsl.scheduling.fifo import Fifo
from rhapsody_parsl.scheduling.protocol import Scheduling
from testing.nodes import make_node, make_spec
from testing.policies import Shortest
from testing.simulation import FakeRuntime, FakeWorker, Simulation

POLICIES: list[Scheduling] = [Fifo(), Fifo(backfill=True), Easy(), Fair(), Fair(by="labels"), Shortest()]


class Checked(Simulation):
    """A block that is looked at after each decision."""

    ends = float("inf")
    idle = (0.0, "")

    def _perform(self) -> None:
        since, why = self.idle
        assert not why or self.now == since, f"from {since} to {self.now} s {why}"
        super()._perform()
        self._check_books()
        self.idle = (self.now, self._waits_in_vain())

    def _check_books(self) -> None:
        ledger = self.core.ledger
        cores: Counter[str] = Counter()
        memory: Counter[str] = Counter()
        gpus: Counter[tuple[str, int]] = Counter()
        for lease in ledger.leases:
            for share, amounts in zip(lease.shares, lease.gpu_amounts, strict=True):
                cores[share.node] += len(share.cores)
                memory.update({share.node: share.memory})
                gpus.update({(share.node, gpu): amount for gpu, amount in zip(share.gpus, amounts, strict=True)})
        for name, account in ledger.accounts.items():
            assert cores[name] + account.free_cores == len(account.node.cores)
            assert memory[name] + account.memory == pytest.approx(account.node.memory, abs=1e-6)
            for gpu, free in enumerate(account.gpus):
                assert gpus[name, gpu] + free == pytest.approx(1.0, abs=1e-6)

    def _waits_in_vain(self) -> str:
        """Say who has the first claim of a shape, and would have room on nodes that are kept for nobody."""
        feeder, ledger = self.core._feeder, self.core.ledger
        ready = () if self.under_way.for_services.wanted else feeder._starts.startable(self.now)
        for shape in feeder._backlog.waiting():
            if shape.order is not None and shape.gate in ready and (lane := shape.lanes.first()) is not None:
                demand = Demand(spec := feeder._backlog.wants(lane))
                if placing := scheduler.place(spec, ledger, demand=demand, rooms=[ledger.open.room(demand)]):
                    return f"{lane.first} waits, and would have room on {placing}"
        return ""

    def _next(self, worker: FakeWorker) -> None:
        super()._next(worker)
        if worker.current is not None and (walltime := decode_spec(worker.current.spec).policy.walltime):
            assert self.now + walltime <= self.ends + 1e-6, f"{worker.current} starts too late"


def some_task(dice: random.Random, nodes: int) -> dict[str, Any]:
    wide = dice.randint(1, nodes)
    keys: dict[str, Any] = dice.choice([
        {"cores": dice.choice([0, 1, 1, 2, 3])},
        {"cores": 1, "gpus": dice.choice([0.25, 0.3, 0.5, 1, 2])},
        {"cores": 1, "memory": dice.uniform(0.1, 15.0)},
        {"cores": 1, "placement": dice.choice(["spread", "exclusive"])},
        {"num_nodes": wide},
        {"runtime": "mpi", "num_ranks": dice.randint(1, 7)},
        {"runtime": "mpi", "num_nodes": wide, "ranks_per_node": 2, "num_ranks": 2 * wide},
    ])  # fmt: skip
    if dice.random() < 0.15:
        keys["labels"] = [dice.choice(["a", "b"])]
    return keys | ({"priority": dice.randint(-2, 3)} if dice.random() < 0.3 else {})


def submit_all(block: Simulation, dice: random.Random, over: float, wrong: float) -> int:
    """Submit tasks of some apps over a time, of which the walltimes are wrong by a factor; return how many."""
    apps = [some_task(dice, len(block.core.ledger.accounts)) for _ in range(6)]
    for number in range(80):
        app = dice.randrange(6)
        seconds = block.seconds[number] = dice.choice([0.001, 0.01, 1.0, 10.0 * dice.random()])
        timed: dict[str, Any] = (
            {"walltime": seconds * wrong * dice.uniform(0.9, 1.5) + 0.01} if dice.random() < 0.4 else {}
        )
        when = dice.choice([0.0, over * dice.random()])
        block.submit(make_spec(f"app{app}", **apps[app], **timed), number, when=when)
        if dice.random() < 0.05:
            block.cancel(number, when=when + dice.choice([0.0, 0.6, 3.0, 20.0]))
        if dice.random() < 0.02:
            block.deadly[number] = 1
    return 80


def have_services(block: Simulation, dice: random.Random, over: float) -> None:
    leases = block.under_way.for_services
    leases.lasting = False
    leases.on_change = lambda: block.at(block.now, lambda: block.core.room_changed(block.now))

    def ask(number: int) -> None:
        wants = TaskSpec(resources=dice.choice([Resources(num_nodes=1, num_ranks=2, ranks_per_node=2), Resources()]))
        stays = dice.choice([0.5, 5.0, 30.0])
        leases.ask(f"s{number}", wants, "", lambda loan: block.at(block.now + stays, loan.give_back))

    for number in range(dice.randint(0, 3)):
        block.at(over * dice.random(), partial(ask, number))


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: f"{type(policy).__name__}-{policy.__dict__}")
@pytest.mark.parametrize("seed", [*range(12), 491])  # the last one for two apps of one class of memory
def test_nothing_is_lent_twice_and_nobody_waits_in_vain(policy: Scheduling, seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311 - it has to be the same again
    nodes = [make_node(f"n{n}", 4, n % 3, 16.0, labels=("a", "b") if n % 2 else ("a",)) for n in range(2 + seed % 4)]
    over, ends = dice.choice([5.0, 60.0]), dice.choice([None, 60.0])
    runtimes = {"local": FakeRuntime(), "mpi": FakeRuntime()}
    block = Checked(nodes, runtimes, scheduling=policy, ends=ends, max_launches=dice.choice([0, 0, 2]))
    block.ends = ends or block.ends
    tasks = submit_all(block, dice, over, wrong=dice.choice([1.0, 0.3, 5.0, 50.0]))
    have_services(block, dice, over)
    returned: list[int] = []
    if seed % 4 == 1:
        block.at(0.7 * over, lambda: returned.extend(block.core.return_waiting()))
    if seed % 4 == 2:
        block.at(20.0, lambda: block.lose_node("n1"))
        block.at(25.0, lambda: block.core.node_back("n1", block.now))
    block.run()
    block.core.tick(block.now + 1e6)
    assert block.core.take() == []
    assert {block.core.state_of(number) for number in range(tasks)} == {"unknown"}
    assert not block.core.ledger.leases
    assert not block.core.ledger.kept
    assert all(account.untouched for account in block.core.ledger.accounts.values())
