from typing import Any

import pytest

from rhapsody_parsl.errors import UnroutableTask
from rhapsody_parsl.pilot.ordering import Ordering, waiting_task
from rhapsody_parsl.scheduling.fair import Fair
from rhapsody_parsl.scheduling.fifo import Fifo
from rhapsody_parsl.scheduling.protocol import Queue, WaitingTask
from testing import policies
from testing.nodes import make_nodes, make_spec, make_task
from testing.simulation import FakeRuntime, Simulation, kinds


def test_a_policy_is_told_what_a_task_asks_for() -> None:
    gang = waiting_task(make_spec("md", num_nodes=3, ranks_per_node=4, gpus_per_rank=0.5, walltime=60), "mpi")
    assert (gang.app, gang.runtime, gang.nodes, gang.cores, gang.gpus) == ("md", "mpi", 3, 12, 6.0)
    assert (gang.walltime, gang.seconds) == (60.0, 60.0)
    one = waiting_task(make_spec("a", cores=2, gpus=1, memory=3, priority=4, labels=["x"]), "local")
    assert (one.cores, one.gpus, one.memory, one.priority, one.labels, one.seconds) == (2, 1.0, 3.0, 4.0, ("x",), 1.0)


@pytest.mark.parametrize(
    ("keys", "cores"),
    [
        ({"num_nodes": 3}, 24),
        ({"num_nodes": 2, "ranks_per_node": 2}, 4),
        ({"num_nodes": 2, "ranks_per_node": 2, "placement": "exclusive"}, 16),
        ({"num_ranks": 9, "placement": "exclusive"}, 16),
        ({"cores": 2, "placement": "exclusive"}, 8),
    ],
)
def test_whole_nodes_count_with_all_their_cores(keys: dict[str, Any], cores: int) -> None:
    told: list[int] = []

    class Noting(policies.Shortest):
        def claim(self, task: WaitingTask, arrival: float, queue: Queue) -> float:
            told.append(task.cores)
            return arrival

    runtimes = {"local": FakeRuntime(), "mpi": FakeRuntime()}
    Simulation(make_nodes(4, cores=8), runtimes, scheduling=Noting()).core.submit([make_task(1, make_spec(**keys))], 0)
    assert told == [cores]


def test_what_was_learnt_is_told() -> None:
    order, task = Ordering(policies.Shortest(), 4), waiting_task(make_spec(), "local")
    assert order.claim(task, 10.0) == 11.0
    assert order.claim(task, 10.0, 30.0) == 40.0


def test_nothing_is_kept_of_groups_unless_the_policy_asks() -> None:
    fifo, fair = Ordering(Fifo(), 4), Ordering(Fair(), 4)
    for order in (fifo, fair):
        order.claim(waiting_task(make_spec("a"), "local"), 0.0)
    assert (fifo.follows, fair.follows) == (False, True)
    assert fair.last("a") == 0.25
    fair.forget()
    assert fair.last("a") == 0.0


def test_groups_are_forgotten_when_there_are_too_many() -> None:
    fair = Ordering(Fair(), 4)
    for number in range(25_000):
        fair.claim(waiting_task(make_spec(f"app{number}"), "local"), 0.0)
    assert len(fair._last) <= 10_001


def test_claims_are_floats_whatever_kind_of_number_they_were() -> None:
    order = Ordering(policies.Wide(), 4)
    assert type(order.claim(waiting_task(make_spec(), "local"), 1.5)) is float
    for app, raised in (("bad", "OverflowError"), ("exits", "SystemExit")):
        with pytest.raises(UnroutableTask, match=f"raised {raised}"):
            order.claim(waiting_task(make_spec(app), "local"), 1.0)


def test_a_claim_that_fails_fails_its_task_alone() -> None:
    with pytest.raises(UnroutableTask, match="raised ZeroDivisionError"):
        Ordering(policies.Faulty(), 4).claim(waiting_task(make_spec("bad"), "local"), 1.0)
    with pytest.raises(UnroutableTask, match="returned nan"):
        Ordering(policies.Endless(), 4).claim(waiting_task(make_spec(), "local"), 1.0)
    block = Simulation(make_nodes(1, cores=1), scheduling=policies.Faulty())
    block.submit(make_spec("good"), 0, 1)
    block.submit(make_spec("bad"), 2)
    block.run()
    assert kinds(block) == {0: "ok", 1: "ok", 2: "UnroutableTask"}


def test_a_task_that_comes_back_has_its_place_whatever_the_policy_says() -> None:
    assert Ordering(policies.Endless(), 4).claim_again(waiting_task(make_spec(), "local"), 7.0) == 7.0
    fair = Ordering(Fair(), 4)
    task = waiting_task(make_spec(), "local")
    fair.claim(task, 0.0)
    fair.started(5.0)
    assert fair.claim_again(task, 0.0) == 5.0


@pytest.mark.parametrize("policy", [Fifo(), Fair(), policies.Shortest()])
def test_short_tasks_that_are_recalled_and_workers_that_die_lose_nothing(policy: Fifo) -> None:
    block = Simulation(make_nodes(1, cores=2), scheduling=policy)
    block.seconds = dict.fromkeys(range(600), 0.0005) | {300: 20.0}
    block.deadly = {100: 1}
    block.submit(make_spec("a", on_loss="rerun"), *range(300))
    block.submit(make_spec("b"), *range(300, 600))
    block.run()
    assert set(kinds(block).values()) == {"ok"}
    assert len(block.ended) == 600
