"""Tasks whose memory or `near` differs follow each other in a run, and its lease is fitted to each."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rhapsody_parsl.annotations.task_spec import decode_spec
from rhapsody_parsl.errors import MemoryExceeded
from rhapsody_parsl.pilot.classes import EIGHTH, class_of
from rhapsody_parsl.runtimes.protocol import Run
from rhapsody_parsl.wire.leases import LeaseRecord
from rhapsody_parsl.wire.messages import Task
from testing.nodes import make_node, make_nodes, make_spec
from testing.simulation import FakeRuntime, FakeWorker, Simulation, error_of, kinds

LONG = 0.06
"""Seconds after which a task is alone in its run."""


class Block(Simulation):
    """A block that notes what each task's run held when it ended, and looks at long ones.

    Attributes:
        held: GB by task.
        runs: The run each task was in.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.held: dict[int, float] = {}
        self.runs: dict[int, int] = {}

    def _finish(self, worker: FakeWorker, task: Task) -> None:
        if worker.alive and worker.current is task:
            self.runs[task.id] = worker.run.id
            self.held[task.id] = held = memory_of(worker.run)
            spec = decode_spec(task.spec)
            if self.seconds.get(task.id, 1.0) > LONG and spec.policy.placement != "exclusive":
                asked = spec.resources.memory
                assert held == pytest.approx(asked), f"a long task asked {asked} GB and holds {held}"
        super()._finish(worker, task)


def memory_of(run: Run) -> float:
    return sum(placed.share.memory for placed in run.placed)


def most_at_once(records: list[LeaseRecord], node: str) -> float:
    """Return the most memory that the record says a node lent at once."""
    changes = []
    for record in records:
        for share in record.shares:
            if share.node == node and record.ended > record.began:
                changes += [(record.began, share.memory), (record.ended, -share.memory)]
    most = now = 0.0
    for _, change in sorted(changes):
        now += change
        most = max(most, now)
    return most


@pytest.mark.parametrize("memory", [0.001, 0.5, 0.51, 1.0, 7.3, 62.7, 64.0, 1000.0])
def test_a_class_of_memory_is_an_eighth_wide_at_most(memory: float) -> None:
    most = class_of(memory, EIGHTH)
    assert memory <= most <= memory * 1.125
    assert class_of(most, EIGHTH) == most


kinds_of_work = st.fixed_dictionaries(
    {"memory": st.floats(4, 8.5) | st.floats(0.1, 60)},
    optional={
        "priority": st.integers(-2, 3),
        "near": st.sampled_from(["here", "there"]),
        "walltime": st.sampled_from([0, 0.7, 5]),
        "placement": st.sampled_from(["pack", "spread", "exclusive"]),
        "on_loss": st.sampled_from(["fail", "rerun"]),
        "cores": st.integers(0, 2),
    },
)
work = st.lists(
    st.tuples(kinds_of_work, st.floats(0, 3), st.sampled_from([0.0001, 0.001, 0.01, 0.1, 2.0])), min_size=1, max_size=40
)


@settings(max_examples=300, deadline=None)
@given(work, st.sampled_from([16.0, 24.5, 60.0]), st.randoms(use_true_random=False))
def test_tasks_of_all_memories_hold_what_they_ask_for(asked: list[Any], memory: float, random: Any) -> None:
    """Short and long ones, some greedy, some deadly; the simulation asserts on the way."""
    block = Block([make_node(f"n{number}", 3, 0, memory) for number in range(2)])
    for number, (keys, when, seconds) in enumerate(asked):
        block.seconds[number] = seconds if random.random() < 0.9 else 1.5
        if random.random() < 0.1:
            block.deadly[number] = random.choice([1, 9])
        if random.random() < 0.1:
            block.greedy.add(number)
        block.submit(make_spec(**keys), number, when=when)
    block.run()
    assert set(block.ended) == set(range(len(asked)))
    assert all(account.untouched for account in block.core.ledger.accounts.values())
    for node in ("n0", "n1"):
        assert most_at_once(block.records, node) <= memory + 1e-6


def test_long_tasks_of_different_memory_follow_each_other_in_a_run_and_hold_their_own() -> None:
    block = Block(make_nodes(1, cores=2))
    for number in range(40):
        block.submit(make_spec(memory=5.1 + number / 100), number)
    block.run()
    assert block.held == {number: pytest.approx(5.1 + number / 100) for number in range(40)}
    assert len(set(block.runs.values())) == 2, "one run for each core"
    assert sorted(record.shares[0].memory for record in block.records) == pytest.approx(sorted(block.held.values()))
    assert {record.tasks for record in block.records} == {1}


def test_short_tasks_hold_the_most_that_one_of_them_asks_for_while_there_is_room() -> None:
    block = Block(make_nodes(1, cores=2, memory=64.0))
    block.seconds = dict.fromkeys(range(400), 0.001)
    for number in range(400):
        block.submit(make_spec(memory=5.05 + number / 1000), number)
    block.run()
    held = sorted(block.held.values())
    assert held[2:] == pytest.approx([5.449] * 398), "of the first two nobody knew that they are short"
    assert len(block.records) < 20, "they travel in numbers"


def test_where_memory_is_scarce_nobody_is_given_more_than_there_is() -> None:
    block = Block(make_nodes(1, cores=2, memory=10.5))
    block.seconds = dict.fromkeys(range(800), 0.001)
    for number in range(800):
        block.submit(make_spec(memory=5.1 if number < 400 else 5.3), number, when=0.0 if number < 400 else 0.6)
    block.run()
    assert len(block.ended) == 800
    assert most_at_once(block.records, "n0") <= 10.5


def test_a_long_task_among_short_ones_is_soon_kept_to_its_own_memory_and_the_rest_is_for_others() -> None:
    block = Block(make_nodes(1, cores=2, memory=11.4))
    block.seconds = dict.fromkeys(range(400), 0.001) | {60: 100.0}
    for number in range(400):
        block.submit(make_spec(memory=5.1 if number < 300 else 5.5), number)
    block.submit(make_spec("other", memory=6.3), 400, when=2.0)
    block.run()
    assert block.started[400][0] == pytest.approx(2.0), "5.1 of 11.4 GB are taken, not 5.5"
    assert block.held[60] == 5.1
    assert {block.held[number] for number in range(50, 60)} == {5.5}, "it was among those of a full lease"


def test_a_task_that_exceeds_its_memory_is_told_its_own_limit() -> None:
    block = Block(make_nodes(1, cores=1))
    block.seconds = dict.fromkeys(range(100), 0.001)
    block.greedy = {50}
    for number in range(100):
        block.submit(make_spec(memory=5 + number / 1000), number)
    block.run()
    assert {n: kind for n, kind in kinds(block).items() if kind != "ok"} == {50: "MemoryExceeded"}
    assert error_of(block.ended[50]).args[0] == pytest.approx(5.05)
    assert isinstance(error_of(block.ended[50]), MemoryExceeded)


def test_of_one_class_those_that_can_never_fit_are_refused_and_fail_with_their_node() -> None:
    block = Block([make_node("n0", 2, 0, 60.0), make_node("n1", 2, 0, 62.0)])
    block.submit(make_spec(memory=59), 0, 1)
    block.seconds = {0: 50.0, 1: 50.0}
    for number, memory in enumerate((59.5, 61.5, 63.0), 2):
        block.submit(make_spec(memory=memory), number, when=1.0)
    block.at(5.0, lambda: block.lose_node("n1"))
    block.run()
    ends = kinds(block)
    assert (ends[2], ends[3], ends[4]) == ("ok", "NodeLost", "UnroutableTask")


def test_a_late_task_of_a_class_has_a_node_kept_free_that_can_hold_it() -> None:
    block = Block(make_nodes(2, cores=4, memory=62.5))
    for number in range(300):
        block.submit(make_spec(memory=10), number, when=number * 0.25)
        block.seconds[number] = 2.0
    block.submit(make_spec("large", memory=62), 300, when=5.0)
    block.run()
    assert block.started[300][0] < 5.0 + 3.0 + 2 * 2.0 + 1.0


def test_many_places_share_a_lane_and_each_key_stays_on_its_node() -> None:
    """A hundred keys of three tasks each; all of one key come when the one before it is over."""
    block = Simulation(make_nodes(4, cores=30))
    for number in range(300):
        block.submit(make_spec(near=f"data {number % 100}", placement="spread"), number, when=2.0 * (number // 100))
    block.run()
    assert any(lane.scattered for lane in _lanes(block))
    for key in range(100):
        assert len({tuple(block.begun_on[number]) for number in (key, key + 100, key + 200)}) == 1


def test_short_tasks_of_many_places_travel_in_numbers_and_go_home_later() -> None:
    block = Simulation(make_nodes(2, cores=2))
    block.seconds = dict.fromkeys(range(2000), 0.001)
    block.submit(make_spec(), 2000)
    for number in range(1000):
        block.submit(make_spec(near=f"data {number}"), number)
    block.run(until=5.0)
    assert len(block.records) < 200
    home = {number: block.begun_on[number] for number in range(1000)}
    for number in range(0, 1000, 7):
        block.submit(make_spec(near=f"data {number}"), 1000 + number, when=6.0 + number / 10)
    block.run()
    assert {number: block.begun_on[1000 + number] for number in range(0, 1000, 7)} == {
        number: home[number] for number in range(0, 1000, 7)
    }


def _lanes(block: Simulation) -> list[Any]:
    groups = block.core._backlog._lanes._lanes.values()
    return [lane for group in groups for by_near in group.values() for lane in by_near.values()]


def test_gangs_and_whole_nodes_keep_their_exact_memory() -> None:
    block = Simulation(make_nodes(2, cores=2), {"local": FakeRuntime(), "mpi": FakeRuntime()})
    for number in range(20):
        block.submit(make_spec(memory=5 + number / 100, placement="exclusive"), number)
        block.submit(make_spec(memory=5 + number / 100, num_nodes=2), 20 + number)
    block.run()
    assert set(kinds(block).values()) == {"ok"}


def test_what_a_task_has_lent_stays_lent_when_its_lease_is_made_its_own() -> None:
    block = Block(make_nodes(1, cores=1, memory=20.0))
    block.seconds = dict.fromkeys(range(40), 0.001) | {40: 1.0}
    for number in range(41):
        block.submit(make_spec(memory=4.45 - number / 100, lend=True), number)
    block.run(until=0.55)
    assert block.core.state_of(40) == "running"
    (active,) = block.under_way
    held = memory_of(active.run)
    assert held > 4.05, "it holds what the largest of its lane asks for"
    assert block.core.nesting.lend_cores(40)
    block.run(until=0.8)
    assert memory_of(active.run) == pytest.approx(4.05)
    assert [placed.share.cores for placed in active.run.placed] == [()]
    assert block.core.ledger.accounts["n0"].free_cores == 1
