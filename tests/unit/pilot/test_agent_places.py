"""Agents that hold no core are spread over the block."""

from collections import Counter
from typing import Any

import pytest

from rhapsody_parsl.annotations.agent import named
from rhapsody_parsl.annotations.task_spec import TaskSpec
from testing.nodes import make_node, make_nodes, make_spec
from testing.simulation import Simulation


def agent(number: int, **keys: Any) -> TaskSpec:
    given: dict[str, Any] = {"cores": 0, **keys}
    return named(make_spec(f"agent {number}", **given), f"agent {number}")


def test_agents_without_cores_are_on_all_nodes_alike_also_when_some_have_ended() -> None:
    block = Simulation(make_nodes(3))
    for number in range(9):
        block.submit(agent(number), number, when=number / 10)
        block.seconds[number] = 2.0 if number % 3 == 1 else 100.0  # those of one node end
    for number in range(9, 12):
        block.submit(agent(number), number, when=10.0 + number)
        block.seconds[number] = 100.0
    block.run(until=50.0)
    begun = [block.begun_on[number][0] for number in range(12)]
    assert Counter(begun[:9]) == {"n0": 3, "n1": 3, "n2": 3}
    assert begun[9:] == ["n1"] * 3, "where the fewest are"


@pytest.mark.parametrize(("keys", "where"), [({"labels": ["ssd"]}, {"b"}), ({"gpus": 1}, {"a"}), ({}, {"a", "b"})])
def test_they_go_only_where_they_can(keys: dict[str, Any], where: set[str]) -> None:
    block = Simulation([make_node("a", gpus=4), make_node("b", labels=("ssd",))])
    for number in range(4):
        block.submit(agent(number, **keys), number, when=number / 10)
        block.seconds[number] = 100.0
    block.run(until=50.0)
    assert {block.begun_on[number][0] for number in range(4)} == where


def test_agents_near_something_stay_together_and_those_with_cores_fill_nodes() -> None:
    block = Simulation(make_nodes(3))
    for number in range(4):
        block.submit(agent(number, near="data"), number, when=number / 10)
        block.submit(agent(10 + number, cores=1), 10 + number, when=1 + number / 10)
    block.run(until=1.95)
    assert len({block.begun_on[number][0] for number in range(4)}) == 1
    assert len({block.begun_on[10 + number][0] for number in range(4)}) == 1
