from collections.abc import Iterable
from functools import partial
from typing import Any

import pytest

from rhapsody_parsl.annotations.resources import Resources
from rhapsody_parsl.annotations.task_spec import TaskSpec
from rhapsody_parsl.pilot.backlog import Backlog
from rhapsody_parsl.pilot.lane import ActiveRun, Lane
from rhapsody_parsl.pilot.ledger import Ledger
from rhapsody_parsl.pilot.lender import Lender
from rhapsody_parsl.pilot.reservations import Reservations
from rhapsody_parsl.runtimes.protocol import Run
from rhapsody_parsl.scheduling.easy import Easy
from rhapsody_parsl.scheduling.fifo import Fifo
from rhapsody_parsl.scheduling.protocol import Scheduling
from testing.nodes import make_node, make_nodes, make_spec, make_task
from testing.simulation import FakeRuntime, Simulation


class Waiting:
    """Who waits on a ledger, and their claims."""

    def __init__(self, ledger: Ledger) -> None:
        ready = {"local", "mpi"}
        self.backlog = Backlog(
            ledger, dict.fromkeys(ready, FakeRuntime()), default_runtime="local", windows={}, scheduling=Fifo()
        )
        self.claims = Reservations(ledger, self.backlog, ready)
        self._count = 0

    def put(self, arrival: float, name: str = "app", **keys: Any) -> Lane:
        self._count += 1
        return self.backlog.put(make_task(self._count, make_spec(name, **keys)), arrival)


def test_an_older_claim_comes_before_the_next_task_of_a_run() -> None:
    ledger = Ledger(make_nodes(1, cores=1))
    waiting = Waiting(ledger)
    lane = waiting.put(1.0)
    lent = Lender(ledger, lambda: 0.0).lend(lane.spec)
    assert lent is not None
    active = ActiveRun(Run(1, lane.spec, lent[1]), lane, lent[0], 1.0)
    waiting.put(1.1, "younger")
    assert waiting.claims.allow(active, 9.0)
    older = waiting.put(0.0, "older")
    assert not waiting.claims.allow(active, 9.0)
    older.take(1)
    assert waiting.claims.allow(active, 9.0)


def test_nodes_are_kept_free_for_whoever_waits_long_enough() -> None:
    ledger = Ledger(make_nodes(3, cores=1))
    waiting = Waiting(ledger)
    gang = waiting.put(0.0, runtime="mpi", num_ranks=2)
    waiting.claims.review(2.9)
    assert not waiting.claims.held
    waiting.claims.review(3.1)
    assert len(ledger.open), "there is a node for others"
    assert waiting.claims.held == dict.fromkeys(("n1", "n2"), gang.shape)
    other = waiting.put(0.05, "other")
    waiting.claims.review(3.1)
    assert not len(ledger.open), "there is none"
    assert waiting.claims.held["n0"] is other.shape
    assert set(waiting.claims.held) == {"n0", "n1", "n2"}
    waiting.claims.clear()
    assert not waiting.claims.held


def test_nobody_goes_on_where_a_node_is_kept_free_for_an_older_claim() -> None:
    ledger = Ledger(make_nodes(2, cores=1))
    waiting = Waiting(ledger)
    waiting.put(0.0, runtime="mpi", num_nodes=2)
    lane = waiting.put(1.0)
    lent = Lender(ledger, lambda: 0.0).lend(lane.spec)
    assert lent is not None
    active = ActiveRun(Run(1, lane.spec, lent[1]), lane, lent[0], 1.0)
    assert waiting.claims.allow(active, 9.0)
    waiting.claims.review(3.1)
    assert not waiting.claims.allow(active, 9.0)


def test_what_a_gang_leaves_of_the_nodes_that_were_kept_for_it_is_used_at_once() -> None:
    block = Simulation(make_nodes(2, cores=4), {"local": FakeRuntime(), "mpi": FakeRuntime()})
    block.seconds = {0: 20.0, 1: 1000.0}
    block.submit(make_spec(num_nodes=2), 0)
    block.submit(make_spec("half", runtime="mpi", num_nodes=2, ranks_per_node=2), 1, when=1.0)
    block.submit(make_spec("loose"), *range(10, 14), when=2.0)
    block.run()
    assert block.started[1] == [20.5]
    assert [block.started[number] for number in range(10, 14)] == [[20.5]] * 4


@pytest.mark.parametrize("policy", [Fifo(), Fifo(backfill=True), Easy()], ids=["fifo", "backfill", "easy"])
def test_a_gang_waits_for_nodes_that_are_free_soon_and_not_for_those_of_a_long_one(policy: Scheduling) -> None:
    block = Simulation(make_nodes(6, cores=4), {"local": FakeRuntime(), "mpi": FakeRuntime()}, scheduling=policy)
    for number, when in ((10_000, 0.0), (10_001, 50.0)):
        block.seconds[number] = 1000.0
        block.submit(make_spec("gang", runtime="mpi", num_nodes=2, ranks_per_node=4), number, when=when)
    for number in range(600):
        block.seconds[number] = 10.0 + number % 5 / 2
        block.submit(make_spec("loose"), number, when=0.1 + number / 3)
    block.run()
    assert block.started[10_001][0] < 150.0


def beside_a_service(leaves: float, tasks: int, others: Iterable[float] = ()) -> Simulation:
    """A gang of two nodes waits for one of which a service holds a core; tasks come, and services for a moment."""
    block = Simulation(make_nodes(2, cores=4), {"local": FakeRuntime(), "mpi": FakeRuntime()})
    leases = block.under_way.for_services
    leases.lasting = False
    leases.on_change = lambda: block.at(block.now, lambda: block.core.room_changed(block.now))
    wants = TaskSpec(resources=Resources(cores=1))

    def ask(until: float) -> None:
        leases.ask("s", wants, "", lambda loan: block.at(until, loan.give_back))

    ask(leaves)
    for when in others:
        block.at(when, partial(ask, when + 5.0))
    block.submit(make_spec("gang", num_nodes=2), 10_000, when=5.0)
    for number in range(tasks):
        block.seconds[number] = 10.0
        block.submit(make_spec("loose"), number, when=float(number))
    block.run()
    return block


def test_the_block_works_on_while_a_gang_waits_for_a_node_that_a_service_holds() -> None:
    """Nobody knows how long the service stays, so the gang has the other nodes at times only."""
    block = beside_a_service(leaves=2000.0, tasks=60)
    assert block.started[10_000] == [2000.0]
    last = max(block.started[number][0] for number in range(60))
    assert last < 300.0, f"the last of 600 s of work for 7 cores began at {last:.0f} s"


@pytest.mark.parametrize("leaves", [40.0, 400.0, 430.0, 2000.0])
def test_who_waits_for_a_node_of_a_service_has_the_others_soon_when_it_leaves(leaves: float) -> None:
    block = beside_a_service(leaves, tasks=2500)
    assert block.started[10_000][0] - leaves < 15.0


def test_the_block_works_on_when_other_services_come_and_go_meanwhile() -> None:
    block = beside_a_service(3000.0, 200, range(50, 3000, 100))
    last = max(block.started[number][0] for number in range(200))
    assert last < 1000.0, f"the last of 2,000 s of work for 7 cores began at {last:.0f} s"


@pytest.mark.parametrize("another", [20.0, 50.0])
def test_who_waits_for_a_node_of_a_service_is_not_forgotten_when_another_one_comes_and_goes(another: float) -> None:
    """It comes while the gang has the other nodes, or while it does not."""
    block = beside_a_service(100.0, 300, [another])
    assert block.started[10_000][0] - 100.0 < 15.0


def test_who_waits_for_nodes_of_another_gang_waits_for_no_service() -> None:
    """Two of five nodes are kept for a gang that waits for a long task; then the wider one has them at once."""
    labels = (("s",), ("g",), ("g",), (), ())
    nodes = [make_node(f"n{number}", 4, labels=each) for number, each in enumerate(labels)]
    block = Simulation(nodes, {"local": FakeRuntime(), "mpi": FakeRuntime()})
    leases = block.under_way.for_services
    leases.lasting = False
    leases.ask("s", make_spec(labels=["s"]), "", lambda loan: block.at(2000.0, loan.give_back))
    block.seconds = {900: 300.0, 901: 50.0} | dict.fromkeys(range(800), 10.0)
    block.submit(make_spec("long", cores=4, labels=["g"]), 900, when=0.6)
    block.submit(make_spec("gang", runtime="mpi", num_nodes=2, ranks_per_node=4, labels=["g"]), 901, when=5.0)
    block.submit(make_spec("wider", runtime="mpi", num_nodes=3, ranks_per_node=4), 902, when=6.0)
    for number in range(800):
        block.submit(make_spec("loose"), number, when=number / 2)
    block.run()
    assert block.started[901] == [300.6]
    assert block.started[902] == [350.6]
