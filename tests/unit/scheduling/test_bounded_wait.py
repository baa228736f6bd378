"""Whatever comes after it, no task waits for ever, under any order of ours."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rhapsody_parsl.scheduling.easy import Easy
from rhapsody_parsl.scheduling.fair import Fair
from rhapsody_parsl.scheduling.fifo import Fifo
from rhapsody_parsl.scheduling.protocol import Queue, Scheduling, WaitingTask
from testing.nodes import make_node, make_spec
from testing.simulation import FakeRuntime, Simulation


class Owing(Fair):
    """Fair, with the seconds of the whole block that the target's group had asked for, and not had, when it came."""

    owed = 0.0

    def claim(self, task: WaitingTask, arrival: float, queue: Queue) -> float:
        claim = super().claim(task, arrival, queue)
        if task.app == "target":
            self.owed = claim - queue.served
        return claim


POLICIES = [Fifo(), Easy(), Owing(), Owing(by="labels"), Fifo(backfill=True), Owing(backfill=False)]
LASTS, LONGEST = 300.0, 10.0
"""Seconds for which others come, and that each of them takes at most."""
targets = st.one_of(
    st.fixed_dictionaries({"num_nodes": st.integers(1, 3)}),
    st.fixed_dictionaries({"runtime": st.just("mpi"), "num_ranks": st.integers(2, 6)}),
    st.fixed_dictionaries({"cores": st.integers(1, 2)}, optional={"labels": st.just(["big"])}),
)
others = st.fixed_dictionaries(
    {},
    optional={
        "walltime": st.sampled_from([11, 60]),
        "cores": st.integers(1, 2),
        "labels": st.just(["big"]),
        "priority": st.integers(0, 1),
    },
)


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: f"{type(policy).__name__}-{policy.__dict__}")
@settings(max_examples=12, deadline=None)
@given(targets, st.lists(others, min_size=1, max_size=3), st.integers(0, 10**9))
def test_a_task_starts_while_others_come_without_end(
    policy: Scheduling, target: dict[str, Any], stream: list[dict[str, Any]], seed: int
) -> None:
    nodes = [make_node(f"n{number}", 2, labels=("big",)) for number in range(3)]
    block = Simulation(nodes, {"local": FakeRuntime(), "mpi": FakeRuntime()}, scheduling=policy)
    dice = random.Random(seed)  # noqa: S311 - it has to be the same again
    number, at = 0, 0.0
    while at < LASTS:
        block.submit(make_spec(f"app{number % len(stream)}", **stream[number % len(stream)]), number, when=at)
        block.seconds[number] = dice.uniform(0.5, LONGEST)
        number, at = number + 1, at + dice.uniform(0.1, 1.0)
    block.submit(make_spec("target", **target), 10_000, when=20.0)
    block.run()
    assert len(block.ended) == number + 1
    waited = block.started[10_000][0] - 20.0
    # The other group has as much of the block meanwhile: each task counts 60 s until one of its like has taken 5.
    bound = 130.0 + 2 * getattr(policy, "owed", 0.0)
    assert waited < bound, f"it waited {waited:.0f} s of the {LASTS:.0f} s in which others came"
