"""What a pilot remembers of a campaign that is over: nothing, but for what is said here."""

import random
from typing import Any

import pytest

from testing.books import sizes
from testing.nodes import make_node, make_nodes, make_spec
from testing.simulation import FakeRuntime, Simulation

CACHES = {
    "tally._counts": 16,
    "_backlog._lanes._specs": 4000,
    "_backlog._lanes._lanes": 2000,
    "_backlog._lanes._shapes": 2000,
    "_backlog._lanes._kins": 2000,
    "_runs.lender._homes": 10_000,
    "ledger._best": 2,
    "ledger.open._whole._place": 4,
}
"""What is kept for the next task of a kind, and how many at most."""


def block() -> Simulation:
    runtimes = {name: FakeRuntime() for name in ("local", "mpi", "vllm")}
    nodes = [*make_nodes(3, cores=4, gpus=1), make_node("n3", cores=2, labels=("fat",))]
    made = Simulation(nodes, runtimes, windows={"vllm": 8})
    made.submit(make_spec(), 0)
    made.submit(make_spec(num_nodes=2), 1)
    made.submit(make_spec(service="s", labels=["fat"]), 2)
    made.run()
    return made


def spec_of(number: int) -> dict[str, Any]:
    """Return a specification that no other task has."""
    kinds: list[dict[str, Any]] = [
        {"priority": number},
        {"priority": -number, "cores": 1 + number % 4},
        {"walltime": 3 + number / 1e4, "on_loss": "rerun"},
        {"walltime": 1e6 + number},
        {"near": f"data{number}"},
        {"memory": 1 + number / 1e5, "placement": "spread"},
        {"labels": ["fat"], "name": f"app{number}"},
        {"num_nodes": 1 + number % 3, "name": f"gang{number}"},
        {"runtime": "mpi", "num_ranks": 1 + number % 9, "priority": number},
        {"service": "s", "priority": number},
        {"service": "s", "walltime": 1e6 + number},
    ]
    return kinds[number % len(kinds)]


@pytest.mark.parametrize(("tasks", "at_once"), [(4000, 4000), (2500, 20)])
def test_a_campaign_with_a_spec_each_leaves_nothing_in_any_book(tasks: int, at_once: int) -> None:
    """Short and long tasks, some killed, some cancelled, some lost with a node: all at once, or a few after others."""
    chance = random.Random(tasks)  # noqa: S311 - a campaign, no secret
    simulation = block()
    before = sizes(simulation.core)
    for number in range(3, 3 + tasks):
        when = 10.0 + (number // at_once) * 4.0
        simulation.seconds[number] = chance.choice([0.001, 0.01, 1.0, 5.0])
        simulation.submit(make_spec(**spec_of(number)), number, when=when)
        if chance.random() < 0.05:
            simulation.deadly[number] = chance.choice([1, 9])
        if chance.random() < 0.05:
            simulation.cancel(number, when=when + chance.choice([0.0, 1.0, 50.0]))
    simulation.at(15.0, lambda: simulation.lose_node("n1"))
    simulation.at(16.0, lambda: simulation.core.node_back("n1", simulation.now))
    simulation.run(most=200_000)
    simulation.core.tick(simulation.now + 1e7)
    after = sizes(simulation.core)
    grown = {way: after[way] for way in after if after[way] > before.get(way, 0) and way not in CACHES}
    assert not grown
    assert {way: after[way] for way in CACHES if after[way] > CACHES[way]} == {}
    assert simulation.core.idle


def test_tasks_with_long_walltimes_leave_no_pile_of_deadlines() -> None:
    simulation = Simulation(make_nodes(1, cores=2))
    simulation.seconds = dict.fromkeys(range(9000), 0.001)
    for start in range(0, 9000, 100):
        simulation.submit(make_spec(walltime=86_400), *range(start, start + 100), when=start / 100)
    simulation.run(until=200.0)
    assert len(simulation.ended) == 9000
    assert max(sizes(simulation.core).values()) < 1500


def test_runs_of_requests_end_when_nobody_asks() -> None:
    simulation = Simulation(make_nodes(1, cores=1), {"vllm": FakeRuntime()}, windows={"vllm": 8})
    for number in range(100):
        simulation.submit(make_spec(service="llm", priority=number % 7, walltime=number), number)
    simulation.run(until=0.6)
    assert simulation.core.running == 8, "the window is the service's, however many specs ask it"
    assert sorted(simulation.core.begun()) == list(range(0, 56, 7)), "the urgent ones first"
    simulation.run()
    assert len(simulation.ended) == 100
    assert sizes(simulation.core)["_runs._runs"] == 0
