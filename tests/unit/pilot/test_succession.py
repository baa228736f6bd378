"""A run goes on with another lane's tasks, and everybody starts in the order of claims."""

import random
from typing import Any

from testing.nodes import make_nodes, make_spec
from testing.simulation import Simulation


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
