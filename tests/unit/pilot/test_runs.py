"""Leases as the core lends them: to services, to runs, kept for the next task, and what the record says of them."""

from typing import Any

import pytest

from rhapsody_parsl.annotations.resources import Resources
from rhapsody_parsl.annotations.task_spec import TaskSpec
from testing.nodes import make_nodes, make_spec
from testing.simulation import FakeRuntime, Simulation, kinds, short_apps


def test_a_service_borrows_like_a_task_and_never_returns_it() -> None:
    block = Simulation(make_nodes(1, cores=4))
    assert block.under_way.for_services.lend("llm", TaskSpec(resources=Resources(cores=3))) is not None
    assert block.under_way.for_services.lend("other", TaskSpec(resources=Resources(cores=2))) is None
    block.submit(make_spec(cores=2), 0)
    block.submit(make_spec(cores=1), 1)
    block.run()
    assert kinds(block) == {0: "UnroutableTask", 1: "ok"}


def test_a_service_over_several_nodes_borrows_the_same_of_each_or_nothing() -> None:
    block = Simulation(make_nodes(3, cores=4))
    wide = Resources(num_ranks=2, num_nodes=2, ranks_per_node=1, cores_per_rank=3)
    lent = block.under_way.for_services.lend("wide[0]", TaskSpec(resources=wide))
    assert lent is not None
    assert [(len(part.share.cores), part.ranks) for part in lent.placed] == [(3, 1), (3, 1)]
    assert len({part.node.name for part in lent.placed}) == 2
    assert block.under_way.for_services.lend("wide[1]", TaskSpec(resources=wide)) is None
    block.submit(make_spec(cores=4), 0, 1)
    block.run()
    assert {node for nodes in block.begun_on.values() for node in nodes}.isdisjoint(
        part.node.name for part in lent.placed
    )


def test_the_record_of_leases_says_who_held_what_when() -> None:
    block = Simulation(make_nodes(2, cores=1))
    block.submit(make_spec("mine"), 0, 1, 2)
    block.run()
    assert sum(record.tasks for record in block.records) == 3
    assert all(record.name == "mine" and record.ended > record.began for record in block.records)


def test_a_task_that_was_asked_back_is_recorded_once() -> None:
    block = Simulation(make_nodes(2, cores=1))
    short_apps(block, *range(100, 150), when=0.0)
    block.seconds[0] = 1.0  # the others wait behind it, and are wanted elsewhere
    block.submit(make_spec("short"), *range(10), when=1.0)
    block.seconds.update(dict.fromkeys(range(1, 10), 0.001))
    block.run()
    assert sum(record.tasks for record in block.records) == 60


def test_a_run_of_short_tasks_keeps_its_lease_for_the_next() -> None:
    block = Simulation(make_nodes(1, cores=1))
    short_apps(block, 100, when=0.0)
    for number in range(20):
        short_apps(block, number, when=1.0 + 0.005 * number)
    block.run(until=1.099)
    warm_up, *records = block.records
    assert [(record.lease, record.tasks) for record in records] == [(warm_up.lease + 1, 1)] * 20
    assert list(block.core.open_leases()) == []
    assert len(block.core.ledger.leases) == 1
    block.run()
    assert block.now < 1.2
    assert block.core.ledger.leases == []


@pytest.mark.parametrize("other", [{"name": "other"}, {"cores": 2}, {"num_nodes": 1}])
def test_a_lease_is_kept_from_nobody(other: dict[str, Any]) -> None:
    block = Simulation(make_nodes(1, cores=2), {"local": FakeRuntime(), "mpi": FakeRuntime()})
    short_apps(block, 0, 1, when=1.0)
    short_apps(block, 2, when=2.0, name="warms up the other runtime", num_nodes=1)
    short_apps(block, 3, 4, when=3.0)
    short_apps(block, 5, when=3.01, **other)
    block.run()
    assert block.started[5] == [pytest.approx(3.01)]


def test_leases_are_recorded_under_the_names_of_the_apps_that_used_them() -> None:
    """Also when so many apps wait that they share a line."""
    block = Simulation(make_nodes(1, cores=2))
    for number in range(200):
        block.submit(make_spec(f"app {number}"), number)
    block.run()
    assert sorted(record.name for record in block.records) == sorted(f"app {number}" for number in range(200))
    assert {record.tasks for record in block.records} == {1}


def test_of_short_apps_that_share_a_lease_the_first_is_named() -> None:
    block = Simulation(make_nodes(1, cores=2))
    for number in range(1200):
        short_apps(block, number, when=0.0, name=f"app {number}")
    block.run()
    assert len(block.ended) == 1200
    shared = [record for record in block.records if record.tasks > 1]
    assert shared
    assert all(record.name.endswith(" and others") for record in shared)
    assert sum(record.tasks for record in block.records) == 1200


def test_a_service_gets_what_a_lease_is_kept_of() -> None:
    block = Simulation(make_nodes(1, cores=1))
    short_apps(block, 0, when=0.0)
    block.run(until=0.51)
    assert len(block.core.ledger.leases) == 1
    assert block.under_way.for_services.lend("llm", TaskSpec(resources=Resources(cores=1))) is not None


def test_a_lost_node_keeps_no_lease() -> None:
    block = Simulation(make_nodes(2, cores=1))
    short_apps(block, 0, when=0.0)
    block.at(0.51, lambda: block.lose_node(block.begun_on[0][0]))
    short_apps(block, 1, when=0.515)
    block.run()
    assert kinds(block) == {0: "ok", 1: "ok"}
    assert block.begun_on[0] != block.begun_on[1]


def test_long_tasks_keep_nothing() -> None:
    block = Simulation(make_nodes(1, cores=1))
    block.submit(make_spec(), 0)
    block.run(until=1.5)
    assert block.ended
    assert block.core.ledger.leases == []


def test_tasks_near_each_other_share_a_node() -> None:
    block = Simulation(make_nodes(3, cores=2))
    for number in range(6):
        block.submit(make_spec(near="dataset", placement="spread"), number, when=number * 1.5)
    block.run()
    assert len({tuple(nodes) for nodes in block.begun_on.values()}) == 1


def test_near_a_service_is_on_its_node() -> None:
    block = Simulation(make_nodes(3, cores=4))
    lent = block.under_way.for_services.lend("llm", TaskSpec(resources=Resources(cores=1)), "llm")
    assert lent is not None
    home = lent.placed[0].node.name
    # By itself `spread` would go to the emptiest node.
    block.submit(make_spec(placement="spread"), 0)
    block.submit(make_spec(near="llm", placement="spread"), 1)
    block.run()
    assert block.begun_on[0] != [home]
    assert block.begun_on[1] == [home]
