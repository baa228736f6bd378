"""A run goes on with another lane's tasks, and everybody starts in the order of claims."""

import random
from typing import Any

import pytest

from rhapsody_parsl.annotations.task_spec import decode_spec
from rhapsody_parsl.runtimes.protocol import Run
from rhapsody_parsl.wire.messages import Task
from testing.nodes import make_node, make_nodes, make_spec
from testing.simulation import FakeRuntime, Simulation


def test_a_worker_goes_on_with_other_memory_and_other_apps() -> None:
    block = Simulation(make_nodes(1, cores=2))
    block.seconds = dict.fromkeys(range(40), 0.1)  # nobody waits long enough for nodes to be kept
    for number in range(40):
        block.submit(make_spec(f"app{number % 4}", memory=1 + number / 4, priority=-number), number)
    block.run()
    assert len(block.ended) == 40
    assert len(block.starts) == 2, "one worker for each core"
    records = sorted(record.shares[0].memory for record in block.records)
    assert records == [1 + number / 4 for number in range(40)], "each task is on record with its own memory"


def test_what_a_run_gives_back_starts_others_at_once() -> None:
    block = Simulation(make_nodes(1, cores=3, memory=10.0))
    block.seconds = {0: 1.0, 1: 5.0, 2: 5.0, 3: 5.0}
    for number, memory in enumerate((8.0, 2.0, 4.0, 4.0)):
        block.submit(make_spec(memory=memory), number)
    block.run()
    assert block.started[2] == block.started[3] == [1.5]


@pytest.mark.parametrize("last", ["app", "other"])
def test_who_asks_for_less_of_one_class_starts_elsewhere_when_a_run_goes_on_with_the_one_before(last: str) -> None:
    block = Simulation([make_node("n0", 4, memory=5.5), make_node("n1", 4, memory=16.0)])
    block.seconds = {0: 1000.0, 1: 10.0, 2: 500.0}
    for number, (name, memory) in enumerate([("large", 10.75), ("app", 5.3), ("app", 5.4), (last, 5.2)]):
        block.submit(make_spec(name, memory=memory), number, when=number / 100)
    block.run()
    assert block.begun_on[2] == ["n0"]
    assert block.started[3] == block.started[2], "it has room beside the large one, where the one before it had none"


def test_a_worker_goes_on_with_other_cores() -> None:
    block = Simulation(make_nodes(1, cores=4))
    block.seconds = dict.fromkeys(range(20), 0.1)
    for number in range(20):
        block.submit(make_spec(cores=3 + number % 2, memory=1 + number, priority=number), number)
    block.run()
    assert len(block.starts) == 1, "one worker for all"
    assert sorted(block.ended_at, key=block.ended_at.__getitem__) == list(range(20))
    leases = {record.lease: record for record in block.records}
    for number, times in block.times.items():
        (share,) = leases[times.lease].shares
        assert (len(share.cores), share.memory) == (3 + number % 2, 1 + number), "each is on record with what it held"


def test_cores_that_a_run_gives_back_start_others_at_once() -> None:
    block = Simulation(make_nodes(1, cores=4))
    block.submit(make_spec(cores=4), 0)
    for number in range(1, 5):
        block.submit(make_spec(cores=1, priority=number), number, when=0.1)
    block.run()
    assert [block.started[number] for number in range(1, 5)] == 4 * [[1.5]]


def test_who_does_not_fit_with_all_that_it_asks_for_leaves_the_room_to_others() -> None:
    block = Simulation(make_nodes(1, cores=3, memory=10.0))
    block.seconds = {0: 9.0, 1: 1.0}
    for number, memory in enumerate((5.8, 4.2)):
        block.submit(make_spec(memory=memory), number)
    for number, memory in enumerate((4.3, 4.1, 1.0), 2):  # the first two wait in one lane
        block.submit(make_spec(memory=memory, priority=number), number, when=0.6)
    block.run(until=3.0)
    assert (block.started.get(2), block.started.get(3), block.started[4]) == (None, None, [1.5])


def test_an_older_gang_is_not_passed_with_other_cores() -> None:
    block = Simulation(
        [make_node("n0", cores=2, labels=("x",)), make_node("n1", cores=2)],
        {"local": FakeRuntime(), "mpi": FakeRuntime()},
    )
    block.seconds = {0: 1.0, 1: 0.5}
    block.submit(make_spec(cores=2, labels=["x"]), 0)
    block.submit(make_spec(cores=2), 1)
    block.submit(make_spec(runtime="mpi", num_nodes=2, ranks_per_node=2), 2, when=0.1)
    block.submit(make_spec(cores=1, labels=["x"]), 3, when=0.2)
    block.run()
    assert block.started[2][0] < block.started[3][0]


def test_who_goes_on_passes_no_older_claim() -> None:
    """Among tasks of all cores a run goes on with the first that its node would hold."""
    for seed in range(40):
        dice = random.Random(seed)  # noqa: S311 - it has to be the same again
        block = InOrder(make_nodes(2, cores=4))
        for number in range(60):
            spec = make_spec(cores=dice.randint(1, 4), priority=dice.randint(-20, 20))
            block.submit(spec, number, when=dice.uniform(0, 1))
            block.seconds[number] = dice.uniform(0.03, 0.1)
        block.run()
        assert len(block.ended) == 60
        assert block.went_on > 10, seed


class InOrder(Simulation):
    """A block that looks for older claims when a run goes on.

    Attributes:
        went_on: How often one did.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.went_on = 0

    def _feed(self, run: Run, tasks: list[Task]) -> None:
        if run.id in self._workers:
            self.went_on += 1
            (share,) = [placed.share for placed in run.placed]
            room = self.core.ledger.accounts[share.node].free_cores + len(share.cores)
            claim = decode_spec(tasks[0].spec).policy.priority
            for lane in self.core._backlog.lanes():
                if lane.spec.resources.cores <= room:
                    priorities = [decode_spec(task.spec).policy.priority for *_, task in lane.entries()]
                    assert claim <= min(priorities), f"{tasks} passes one of {priorities}"
        super()._feed(run, tasks)


def test_an_older_claim_with_other_cores_has_what_a_run_held() -> None:
    block = Simulation(make_nodes(1, cores=2))
    block.submit(make_spec(cores=2), 0)
    block.submit(make_spec(cores=1), 1, when=0.1)
    block.submit(make_spec(cores=2), 2, when=0.2)
    block.run()
    assert [block.started[number][0] for number in range(3)] == [0.5, 1.5, 2.5]


def test_tasks_of_all_kinds_start_as_soon_as_they_fit() -> None:
    """Nobody waits while the block stands idle, whichever way tasks come after each other."""
    for seed in range(40):
        dice = random.Random(seed)  # noqa: S311 - it has to be the same again
        block = Simulation(make_nodes(2, cores=3, memory=20.0))
        for number in range(60):
            keys: dict[str, Any] = {"cores": dice.randint(0, 3), "memory": dice.choice([0.0, dice.uniform(0.1, 20.0)])}
            block.submit(make_spec(**keys, priority=dice.choice([-number, number])), number, when=dice.uniform(0, 2))
            block.seconds[number] = dice.choice([0.001, 0.5, 2.0])
        block.run()
        assert len(block.ended) == 60, seed
        assert all(account.untouched for account in block.core.ledger.accounts.values()), seed
