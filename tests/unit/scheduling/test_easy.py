from itertools import pairwise
from typing import Any

from rhapsody_parsl.pilot.ordering import Ordering, waiting_task
from rhapsody_parsl.scheduling.easy import Easy
from rhapsody_parsl.scheduling.fifo import Fifo
from testing.nodes import make_nodes, make_spec
from testing.simulation import FakeRuntime, Simulation

DAY = 86_400.0


def claim(arrival: float = 0.0, seconds: float = 0.0, **keys: Any) -> float:
    return Ordering(Easy(), 4).claim(waiting_task(make_spec(**keys), "local"), arrival, seconds)


def test_what_takes_long_comes_before_what_comes_at_the_same_time() -> None:
    claims = [claim(seconds=seconds) for seconds in (30 * DAY, DAY, 3600.0, 60.0, 1.0, 0.001)]
    assert all(first < second for first, second in pairwise(claims))
    assert claim(arrival=1.0, seconds=60.0) < claim(seconds=1.0) < claim(arrival=60.0, seconds=60.0)


def test_gangs_come_before_all_and_nothing_is_worth_more_than_a_step_of_priority() -> None:
    assert claim(num_nodes=2) < claim(seconds=DAY)
    assert claim(num_nodes=2, priority=1) >= claim(seconds=0.0)
    assert claim(seconds=100 * DAY, priority=1) >= claim(seconds=0.0)
    assert claim(num_nodes=2) == Ordering(Fifo(), 4).claim(waiting_task(make_spec(), "local"), 0.0) - 60.0


def test_backfill_is_what_it_does_beside() -> None:
    assert (Easy().backfill, Fifo().backfill) == (True, False)


def test_the_long_ones_of_an_app_start_first_by_what_part_of_their_walltimes_its_tasks_take() -> None:
    block = Simulation(make_nodes(1, cores=1), {"local": FakeRuntime()}, scheduling=Easy())
    block.seconds = {0: 5.0, 1: 1.0, 2: 3.0, 3: 2.0, 4: 1.0}
    block.submit(make_spec("app", walltime=50), 0)
    for number, walltime in ((1, 10), (2, 30), (3, 20)):
        block.submit(make_spec("app", walltime=walltime), number, when=1.0)
    block.submit(make_spec("other", walltime=25), 4, when=1.0)
    block.run()
    order = sorted(block.started, key=lambda number: block.started[number])
    assert order == [0, 2, 4, 3, 1], "nobody knows yet that those of the one take a tenth of their walltimes"


def test_a_gang_starts_soon_when_those_before_it_end_long_before_their_walltimes() -> None:
    """The first of their kind have an hour and take some 30 s, and more of them come all the time."""
    block = Simulation(make_nodes(2, cores=2), {"local": FakeRuntime(), "mpi": FakeRuntime()}, scheduling=Easy())
    for number in range(100, 400):
        block.seconds[number] = 30.0 + number % 7
        block.submit(make_spec("loose", walltime=3600), number, when=(number - 100) * 5.0)
    block.submit(make_spec(num_nodes=2), 1, when=12.0)
    block.run()
    assert block.started[1][0] < 150.0


def test_a_gang_starts_sooner_when_those_before_it_take_less_and_less_of_their_walltimes() -> None:
    """The first one takes more than half of its hour, all others some 30 s."""
    block = Simulation(make_nodes(2, cores=2), {"local": FakeRuntime(), "mpi": FakeRuntime()}, scheduling=Easy())
    block.seconds[99] = 2000.0
    block.submit(make_spec("loose", walltime=3600), 99)
    for number in range(100, 500):
        block.seconds[number] = 30.0 + number % 7
        block.submit(make_spec("loose", walltime=3600), number, when=(number - 100) * 9.0)
    block.submit(make_spec(num_nodes=2), 1, when=2100.0)
    block.run()
    assert block.started[1][0] < 2800.0
