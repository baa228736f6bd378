from typing import Any

import pytest

from rhapsody_parsl.errors import InvalidTask
from rhapsody_parsl.scheduling.fair import Fair
from rhapsody_parsl.scheduling.fifo import Fifo
from rhapsody_parsl.scheduling.protocol import Scheduling
from testing.nodes import make_node, make_nodes, make_spec
from testing.simulation import FakeRuntime, Simulation


def mean_wait(block: Simulation, numbers: range, came: float) -> float:
    return sum(block.started[number][0] - came for number in numbers) / len(numbers)


def two_apps(scheduling: Scheduling, **of_the_second: Any) -> Simulation:
    """One app submits 200 tasks, then another 20."""
    block = Simulation(make_nodes(2, cores=2), scheduling=scheduling)
    block.submit(make_spec("first"), *range(200))
    block.submit(make_spec("second", **of_the_second), *range(1000, 1020), when=1.0)
    block.run()
    return block


def test_an_app_that_submits_much_does_not_hold_up_another() -> None:
    waits = {kind.__name__: mean_wait(two_apps(kind()), range(1000, 1020), 1.0) for kind in (Fifo, Fair)}
    assert waits["Fifo"] > 45.0
    assert waits["Fair"] < 8.0


def test_two_apps_have_equal_parts() -> None:
    block = two_apps(Fair())
    during = [n for n, times in block.started.items() if 1.0 < times[0] <= block.started[1019][0]]
    second = sum(number >= 1000 for number in during)
    assert 0.4 < second / len(during) < 0.6


def test_a_step_of_priority_halves_a_part() -> None:
    block = two_apps(Fair(), priority=1)
    until = block.started[1019][0]
    first = sum(1.0 < block.started[n][0] <= until for n in range(200))
    assert 1.5 < first / 20 < 2.6


def test_a_group_may_be_that_of_labels() -> None:
    nodes = [make_node("a", 1, labels=("x", "y")), make_node("b", 1)]
    block = Simulation(nodes, {"local": FakeRuntime()}, scheduling=Fair(by="labels"))
    for number in range(60):
        block.submit(make_spec(f"app{number}", labels=["x"]), number)
    block.submit(make_spec("last", labels=["y"]), 1000, when=1.0)
    block.run()
    assert block.started[1000][0] < 60.0


def test_what_is_no_group_is_refused() -> None:
    with pytest.raises(InvalidTask, match="allowed are app, labels"):
        Fair(by="user")  # type: ignore[arg-type]  # that is the fault


def test_an_app_whose_tasks_come_at_once_takes_no_more_than_its_part_of_an_empty_block() -> None:
    block = Simulation(make_nodes(4, cores=4), {"local": FakeRuntime()}, scheduling=Fair())
    block.submit(make_spec("first"), *range(200))
    block.submit(make_spec("second"), *range(1000, 1200))
    block.submit(make_spec("wide", cores=4), 2000)
    block.run()
    began = [block.started[number][0] for number in (0, 1000, 2000)]
    assert began == [0.5] * 3
