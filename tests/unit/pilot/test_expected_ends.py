from typing import Any

import pytest

from rhapsody_parsl.scheduling.easy import Easy
from rhapsody_parsl.scheduling.fifo import Fifo
from rhapsody_parsl.scheduling.protocol import Scheduling
from testing.nodes import make_nodes, make_spec
from testing.simulation import FakeRuntime, Simulation, kinds


def gang_and(scheduling: Scheduling, seconds: float, **keys: Any) -> Simulation:
    """A task holds one of two nodes for 50 s, a gang waits for both, and others come."""
    block = Simulation(make_nodes(2, cores=1), {"local": FakeRuntime(), "mpi": FakeRuntime()}, scheduling=scheduling)
    block.submit(make_spec("holder", walltime=50), 0)
    block.seconds[0] = 49.0
    block.submit(make_spec(num_nodes=2), 1, when=1.0)
    block.seconds |= dict.fromkeys(range(10, 13), seconds)
    for number in range(10, 13):
        block.submit(make_spec("other", **keys), number, when=8.0)
    block.run()
    return block


@pytest.mark.parametrize(("scheduling", "early"), [(Fifo(), 0), (Easy(), 3)])
def test_who_leaves_in_time_uses_a_node_that_is_kept(scheduling: Scheduling, early: int) -> None:
    block = gang_and(scheduling, 9.0, walltime=10)
    assert block.started[1][0] == pytest.approx(49.5, abs=0.1), "the gang has not waited for them"
    assert sum(block.started[number][0] < 45.0 for number in range(10, 13)) == early
    assert set(kinds(block).values()) == {"ok"}


def test_who_would_not_leave_in_time_does_not_start() -> None:
    block = gang_and(Easy(), 9.0, walltime=60)
    assert block.started[1][0] == pytest.approx(49.5, abs=0.1)
    assert min(block.started[number][0] for number in range(10, 13)) > 49.5


def test_the_last_of_three_does_not_start_when_its_time_is_over() -> None:
    block = gang_and(Easy(), 19.0, walltime=20)
    assert block.started[1][0] == pytest.approx(49.5, abs=0.1)
    assert [block.started[number][0] < 49.0 for number in range(10, 13)] == [True, True, False]


@pytest.mark.parametrize(("known", "early"), [(5.0, 3), (60.0, 0)])
def test_what_its_like_took_says_when_a_task_leaves(known: float, early: int) -> None:
    block = Simulation(make_nodes(2, cores=1), {"local": FakeRuntime(), "mpi": FakeRuntime()}, scheduling=Easy())
    block.submit(make_spec("other"), 9)
    block.seconds |= {9: known} | dict.fromkeys(range(10, 13), 5.0)
    block.submit(make_spec("holder", walltime=50), 0, when=100.0)
    block.seconds[0] = 49.0
    block.submit(make_spec(num_nodes=2), 1, when=101.0)
    block.submit(make_spec("other"), 10, 11, 12, when=108.0)
    block.run()
    assert block.started[1][0] == pytest.approx(149.0, abs=1.0)
    assert sum(block.started[number][0] < 145.0 for number in range(10, 13)) == early


def test_while_nobody_knows_when_a_node_is_free_it_is_closed() -> None:
    block = Simulation(make_nodes(2, cores=1), {"local": FakeRuntime(), "mpi": FakeRuntime()}, scheduling=Easy())
    block.submit(make_spec("holder"), 0)
    block.seconds[0] = 49.0
    block.submit(make_spec(num_nodes=2), 1, when=1.0)
    block.submit(make_spec("other", walltime=2), 10, when=8.0)
    block.run()
    assert block.started[10][0] > block.started[1][0] == pytest.approx(49.5, abs=0.1)


def test_a_loose_walltime_does_not_hide_what_was_learnt() -> None:
    """Tasks have an hour and take 30 s: a node that one of them holds is expected to be free soon."""
    block = Simulation(make_nodes(2, cores=1), {"local": FakeRuntime(), "mpi": FakeRuntime()}, scheduling=Easy())
    block.seconds = {9: 30.0, 0: 30.0, 10: 99.0}
    block.submit(make_spec("loose", walltime=3600), 9)
    block.submit(make_spec("loose", walltime=3600), 0, when=100.0)
    block.submit(make_spec(num_nodes=2), 1, when=101.0)
    block.submit(make_spec("other", walltime=100), 10, when=108.0)
    block.run()
    assert block.started[1][0] == pytest.approx(130.0, abs=1.0)


def test_a_runtime_that_is_ready_later_finds_the_nodes_too() -> None:
    runtimes = {"local": FakeRuntime(), "mpi": FakeRuntime()}
    block = Simulation(make_nodes(2, cores=1), runtimes, scheduling=Easy())
    block.submit(make_spec("holder", runtime="mpi", num_nodes=1, walltime=50), 0)
    block.submit(make_spec(num_nodes=2), 1, when=1.0)
    block.submit(make_spec("other", walltime=10), 10, when=8.0)
    block.seconds = {0: 49.0}
    block.run()
    assert block.started[10][0] == pytest.approx(8.5, abs=0.1)


def test_equal_claims_do_not_go_on_where_nodes_are_kept() -> None:
    """All come at once: those of the gang's claim must not hold its nodes for as long as there are some."""
    block = Simulation(make_nodes(2, cores=2), {"local": FakeRuntime(), "mpi": FakeRuntime()})
    block.submit(make_spec(), *range(4))
    block.submit(make_spec(num_nodes=2), 1000, when=1.0)
    block.submit(make_spec(), *range(4, 400), when=1.0)
    block.run()
    assert block.started[1000][0] < 12.0


def test_a_short_task_behind_long_ones_of_its_app_starts_on_a_node_that_is_kept() -> None:
    block = Simulation(make_nodes(2, cores=1), {"local": FakeRuntime(), "mpi": FakeRuntime()}, scheduling=Easy())
    block.submit(make_spec("holder", walltime=50), 0)
    block.submit(make_spec(num_nodes=2), 1, when=1.0)
    block.seconds = {0: 49.0, 10: 59.0, 11: 59.0, 12: 8.0, 13: 8.0, 14: 20.0}
    for number, walltime in ((10, 60), (11, 60), (12, 10), (13, 9), (14, 22)):
        block.submit(make_spec("app", walltime=walltime), number, when=8.0)
    block.run()
    assert block.started[1][0] == pytest.approx(49.5, abs=0.1), "the gang has not waited for them"
    order = sorted(block.started, key=lambda number: block.started[number][0])
    assert order == [0, 12, 14, 13, 1, 10, 11], "the short ones until the gang starts, then the long ones"
    assert set(kinds(block).values()) == {"ok"}
