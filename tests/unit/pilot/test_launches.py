"""At most so many launches at once: what is above waits, holds nothing, and is served in its order."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rhapsody_parsl.annotations.task_spec import TaskSpec, encode_spec
from rhapsody_parsl.errors import NeedsItsParent
from rhapsody_parsl.pilot.launches import Launches
from testing.nodes import make_node, make_spec
from testing.simulation import FakeRuntime, Simulation

RUNTIMES = {"local": FakeRuntime(), "mpi": FakeRuntime()}


def launch(name: str = "simulate", **keys: Any) -> TaskSpec:
    size = {} if "num_nodes" in keys else {"num_ranks": 1}
    return make_spec(name, **{"runtime": "mpi", **size, **keys})


def block(nodes: int = 4, cores: int = 2, **options: Any) -> Simulation:
    return Simulation([make_node(f"n{number}", cores) for number in range(nodes)], RUNTIMES, **options)


def most_at_once(simulation: Simulation, numbers: range) -> int:
    """Return how many of some tasks ran together; each ran once."""
    begins = [(simulation.started[number][0], 1) for number in numbers]
    ends = [(simulation.ended_at[number], -1) for number in numbers]
    most = now = 0
    for _, change in sorted(begins + ends):
        now += change
        most = max(most, now)
    return most


@pytest.mark.parametrize(("keys", "launches"), [
    ({}, True),
    ({"comm": True}, False),
    ({"comm": True, "isolation": "process"}, True),
], ids=["executable", "function", "function in a fresh world"])  # fmt: skip
def test_what_launches(keys: dict[str, Any], launches: bool) -> None:
    assert launch(**keys).launches == launches
    assert (Launches(1).gate(launch(**keys), "mpi") != "mpi") == launches
    assert Launches().gate(launch(**keys), "mpi") == "mpi", "without a limit there is nothing to wait for"
    assert not make_spec("task", runtime="local").launches


def test_so_many_run_at_once_and_the_others_hold_no_lease() -> None:
    limited = block(max_launches=3)
    limited.submit(launch(), *range(12))
    limited.submit(launch("other", num_ranks=2), *range(12, 16), when=0.01)
    limited.submit(make_spec("task", runtime="local"), *range(20, 25))
    held: list[int] = []
    limited.at(0.9, lambda: held.append(sum(active.lease is not None for active in limited.under_way)))
    limited.run()
    assert most_at_once(limited, range(16)) == 3
    assert held == [3 + 5]
    starts = {number: limited.started[number][0] for number in (0, *range(20, 25))}
    assert len(set(starts.values())) == 1, "what does not launch does not wait"


def test_what_waits_says_for_what() -> None:
    limited = block(max_launches=1)
    limited.submit(launch(), 0, 1, 2)
    limited.run(until=0.5)
    assert limited.core.waits() == {"launches": 2}
    (lane,) = limited.core.examination.lanes(lambda _: ("ready", ""), [], limited.now)
    assert lane.why == "1 launches run, as many as may at once (max_launches)"
    limited.run()
    assert len(limited.ended) == 3


def test_an_older_claim_of_another_kind_is_next_although_the_lease_would_suit_the_same_again() -> None:
    limited = block(max_launches=1)
    limited.submit(launch(), *range(5))
    limited.submit(launch("other", num_ranks=2), 10, when=0.1)
    limited.submit(launch(), *range(20, 25), when=0.2)
    limited.run()
    assert limited.started[10][0] == max(limited.started[number][0] for number in range(5)) + 1
    assert limited.started[10][0] < min(limited.started[number][0] for number in range(20, 25))


def test_no_node_is_kept_free_for_what_waits_for_a_launch() -> None:
    limited = block(max_launches=1)
    limited.seconds[0] = 100.0
    limited.submit(launch(), 0)
    limited.submit(launch("wide", num_ranks=8), 1, when=1.0)
    limited.submit(make_spec("task", runtime="local"), *range(10, 17), when=50.0)
    limited.run()
    assert {limited.started[number][0] for number in range(10, 17)} == {50.5}, "when their runtime is ready"
    assert limited.started[1][0] == 100.5


def test_a_parent_that_launches_cannot_wait_for_a_child_that_would() -> None:
    limited = block(max_launches=1)
    limited.submit(launch(), 1)
    limited.seconds[1] = 10.0
    limited.run(until=1.0)
    with pytest.raises(NeedsItsParent, match=r"max_launches"):
        limited.core.nesting.admit(1, encode_spec(launch("child")), keep=False, now=1.0)
    limited.core.nesting.admit(1, encode_spec(launch("child")), keep=True, now=1.0)
    limited.core.nesting.admit(1, encode_spec(make_spec("child", runtime="local")), keep=False, now=1.0)


kinds = st.one_of(
    st.fixed_dictionaries({"num_ranks": st.integers(1, 6)}, optional={"priority": st.integers(0, 1)}),
    st.fixed_dictionaries({"num_nodes": st.integers(1, 3)}),
)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 3), st.lists(kinds, min_size=1, max_size=4), st.integers(0, 10**9))
def test_never_more_and_none_is_lost(most: int, stream: list[dict[str, Any]], seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311 - it has to be the same again
    limited = block(3, max_launches=most)
    for number in range(40):
        limited.seconds[number] = dice.uniform(0.01, 3.0)
        limited.submit(launch(f"app{number % 4}", **stream[number % len(stream)]), number, when=dice.uniform(0, 20))
    functions = range(100, 140)
    for number in functions:
        limited.submit(launch("function", comm=True), number, when=dice.uniform(0, 20))
    limited.run()
    assert len(limited.ended) == 80
    assert most_at_once(limited, range(40)) <= most
    assert not limited.under_way.launches.is_full


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 2), kinds, st.lists(kinds, min_size=1, max_size=3), st.integers(0, 10**9))
def test_a_launch_starts_while_others_come_without_end(
    most: int, target: dict[str, Any], stream: list[dict[str, Any]], seed: int
) -> None:
    """Those of equal priority that came later do not pass it for ever."""
    dice = random.Random(seed)  # noqa: S311 - as above
    limited = block(3, max_launches=most)
    number, at = 0, 0.0
    while at < 300.0:
        spec = {**stream[number % len(stream)], "priority": 0}
        limited.submit(launch(f"app{number % 3}", **spec), number, when=at)
        limited.seconds[number] = dice.uniform(0.5, 2.0)
        number, at = number + 1, at + dice.uniform(0.5, 4.0) / most
    limited.submit(launch("target", **{**target, "priority": 0}), 10_000, when=20.0)
    limited.run()
    assert len(limited.ended) == number + 1
    waited = limited.started[10_000][0] - 20.0
    assert waited < 130.0, f"it waited {waited:.0f} s of the 300 s in which others came"
