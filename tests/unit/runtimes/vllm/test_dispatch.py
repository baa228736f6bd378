"""Which request goes to which replica: by hand, and by experiments on a simulated clock."""

import itertools
import random
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rhapsody_parsl.runtimes.vllm.dispatch import Assignment, Dispatch, SeatState, choose
from testing.engines import Engines


def dispatch_of(*ready: str, limit: int = 4) -> Dispatch:
    dispatch = Dispatch(limit, 600.0)
    for name in ready:
        dispatch.set_state(name, "ready")
    return dispatch


def asked(dispatch: Dispatch) -> list[tuple[str, list[int], bool]]:
    return [(one.replica, one.tasks, one.apart) for one in dispatch.assign(0.0)]


def test_the_least_outstanding_is_chosen_up_to_the_limit() -> None:
    assert choose([3, 1, 1], [4, 4, 4]) == 1
    assert choose([4, 4], [4, 4]) is None
    assert choose([], []) is None
    assert choose([0], [1]) == 0
    assert choose([3, 1], [4, 1]) == 0


def test_requests_of_others_take_places_but_never_more_than_half() -> None:
    dispatch = dispatch_of("a", "b", limit=4)
    dispatch.put(range(20))
    dispatch.note_others({"a": 1, "b": 9}, 10)
    assert [(name, len(tasks)) for name, tasks, _ in asked(dispatch)] == [("a", 3), ("b", 2)]
    dispatch.note_others({"a": 1}, 1)
    assert [(name, len(tasks)) for name, tasks, _ in asked(dispatch)] == [("b", 2)]


@pytest.mark.parametrize("alone", [False, True], ids=["in a group", "alone before"])
def test_suspects_do_not_wait_without_an_end_for_a_request_of_others_that_has_none(alone: bool) -> None:
    dispatch = dispatch_of("a")
    dispatch.put([1] if alone else [1, 2])
    asked(dispatch)
    dispatch.died("a", 0.0)
    dispatch.set_state("a", "ready")
    dispatch.note_others({"a": 1}, 1)
    for now in (0.0, 1.0, 59.0):
        assert (dispatch.assign(now), dispatch.kept) == ([], {"a"})
    assert dispatch.assign(60.0) == [Assignment("a", [1], apart=True)]


def test_requests_wait_for_a_replica_and_are_spread() -> None:
    dispatch = Dispatch(2, 600.0)
    dispatch.put([1, 2, 3, 4, 5])
    assert asked(dispatch) == []
    dispatch.set_state("a", "ready")
    assert asked(dispatch) == [("a", [1, 2], False)]
    dispatch.set_state("b", "ready")
    assert asked(dispatch) == [("b", [3, 4], False)]
    dispatch.answered("a", 1)
    assert dispatch.assign(0.0) == [Assignment("a", [5])]
    assert dispatch.idle


def test_the_urgent_are_asked_first_also_when_they_come_back() -> None:
    dispatch = dispatch_of(limit=2)
    dispatch.put([1, 2, 3, 4])
    dispatch.put([5], priority=-1.0)
    dispatch.put([6], priority=1.0)
    dispatch.set_state("a", "ready")
    assert asked(dispatch) == [("a", [5, 1], False)]
    dispatch.put([7], priority=-1.0)
    dispatch.gone("a")
    dispatch.set_state("b", "ready")
    assert asked(dispatch) == [("b", [5, 7], False)]
    for task in (5, 7):
        dispatch.answered("b", task)
    assert asked(dispatch) == [("b", [1, 2], False)]
    assert dispatch.take_all() == [3, 4, 6]


def test_the_only_replica_takes_turns() -> None:
    dispatch = dispatch_of("a", limit=8)
    dispatch.put([1, 2, 3, 4])
    assert asked(dispatch) == [("a", [1, 2, 3, 4], False)]
    dispatch.died("a", 0)
    dispatch.put([5, 6])
    dispatch.set_state("a", "ready")
    assert asked(dispatch) == [("a", [5, 6], False)]
    dispatch.put([7])
    dispatch.answered("a", 5)
    assert asked(dispatch) == []  # it empties itself for suspects
    dispatch.answered("a", 6)
    assert asked(dispatch) == [("a", [1, 2], True)]
    dispatch.answered("a", 1)
    assert asked(dispatch) == []
    dispatch.answered("a", 2)
    assert asked(dispatch) == [("a", [7], False)]
    dispatch.answered("a", 7)
    assert asked(dispatch) == [("a", [3, 4], True)]
    for task in (3, 4):
        dispatch.answered("a", task)
    dispatch.put([8])
    assert asked(dispatch) == [("a", [8], False)]


def test_others_go_on_while_one_replica_is_kept_for_suspects() -> None:
    dispatch = dispatch_of("a", "b", "c", limit=8)
    dispatch.put(range(6))
    asked(dispatch)
    dispatch.died("a", 0)  # held 0 and 3
    dispatch.set_state("a", "coming")
    dispatch.put([10, 11, 12])
    assert asked(dispatch) == [("c", [10, 11, 12], False)]  # "b" empties itself
    for task in (1, 4):
        dispatch.answered("b", task)
    assert asked(dispatch) == [("b", [0], True)]
    dispatch.answered("b", 0)
    assert asked(dispatch) == [("b", [3], True)]
    dispatch.answered("b", 3)
    dispatch.put([13])
    assert asked(dispatch) == [("b", [13], False)]


def test_the_last_replica_with_work_is_not_risked_while_another_comes() -> None:
    dispatch = dispatch_of("a", "b", limit=8)
    dispatch.put(range(4))
    asked(dispatch)
    dispatch.died("a", 0)
    dispatch.set_state("a", "coming")
    dispatch.put([10])
    assert asked(dispatch) == [("b", [10], False)]
    dispatch.set_state("a", "ready")
    assert asked(dispatch) == [("a", [0], True)]
    dispatch.put([11])
    assert asked(dispatch) == [("b", [11], False)]


def test_an_idle_replica_takes_them_over_at_once_and_so_does_the_last_one() -> None:
    cases: list[tuple[SeatState, bool]] = [("coming", False), ("away", True)]
    for state, works in cases:
        dispatch = dispatch_of("a", "b", limit=8)
        dispatch.put([1, 2] if works else [1])
        asked(dispatch)
        dispatch.died("a", 0)
        dispatch.set_state("a", state)
        if works:
            assert asked(dispatch) == []
            dispatch.answered("b", 2)
        assert asked(dispatch) == [("b", [1], True)]


def test_the_loss_of_a_host_is_no_requests_doing() -> None:
    dispatch = dispatch_of("a", "b", limit=2)
    dispatch.put([1, 2, 3, 4, 5])
    asked(dispatch)
    assert dispatch.died("a", 0, "host").unexplained
    for task in (2, 4):
        dispatch.answered("b", task)
    assert asked(dispatch) == [("b", [1, 3], False)]


def test_a_group_that_was_asked_when_the_host_was_lost_is_the_next_again() -> None:
    dispatch = dispatch_of("a")
    dispatch.put([1, 2])
    asked(dispatch)
    dispatch.died("a", 0)
    dispatch.set_state("a", "ready")
    assert asked(dispatch) == [("a", [1], True)]
    dispatch.died("a", 0, "host")
    dispatch.set_state("a", "ready")
    assert asked(dispatch) == [("a", [1], True)]


def test_what_is_not_wanted_leaves_from_anywhere() -> None:
    dispatch = dispatch_of("a", limit=2)
    dispatch.put([1, 2, 3])
    asked(dispatch)
    assert dispatch.leave(3) == ""
    assert dispatch.leave(1) == "a"
    dispatch.died("a", 0)
    assert dispatch.leave(2) == ""
    assert dispatch.idle


def test_all_that_waits_can_be_given_up() -> None:
    dispatch = dispatch_of("a", limit=2)
    dispatch.put([1, 2, 3])
    asked(dispatch)
    dispatch.died("a", 0)
    assert sorted(dispatch.take_all()) == [1, 2, 3]
    assert dispatch.idle


# --- experiments -------------------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(
    count=st.integers(1, 120),
    poison=st.sets(st.integers(0, 119), max_size=12),
    gap=st.sampled_from([0.0, 0.02, 0.4]),
    replicas=st.integers(1, 4),
    limit=st.sampled_from([1, 5, 256]),
    seed=st.integers(0, 1000),
)
def test_every_honest_request_is_answered_and_every_other_found(
    count: int, poison: set[int], gap: float, replicas: int, limit: int, seed: int
) -> None:
    engines = Engines(replicas, poison, limit=limit, seed=seed)
    for task in range(count):
        engines.submit_at(gap * task, task)
    engines.run()
    bad = {task for task in poison if task < count}
    assert set(engines.answered) == set(range(count)) - bad
    assert set(engines.culprits) == bad
    # In company, in a half of it, in a sixteenth of that, alone twice; several may look like chance to each other.
    most = 5 if len(bad) == 1 else 12
    assert all(toll <= most for toll in engines.culprits.values())
    assert engines.deaths <= (5 if len(bad) == 1 else 7) * len(bad)
    assert max(engines.asks.values()) <= most


@pytest.mark.parametrize(("count", "deaths"), [(1, 3), (32, 4), (256, 5)])
def test_the_deaths_until_one_is_found_are_those_that_the_page_tells(count: int, deaths: int) -> None:
    engines = Engines(1, {0})
    for task in range(count):
        engines.submit_at(0.0, task)
    engines.run()
    assert engines.culprits == {0: deaths}
    page = Path(__file__).parents[4].joinpath("docs", "runtimes", "vllm.md").read_text()
    assert re.search(rf"^\| {count}\b[^|]* \| {deaths} \|$", page, re.MULTILINE)


@settings(max_examples=100, deadline=None)
@given(
    poison=st.sets(st.integers(0, 59), max_size=4),
    kills=st.lists(st.floats(0, 100), max_size=40),
    replicas=st.integers(1, 3),
    seed=st.integers(0, 1000),
)
def test_with_any_other_deaths_too_every_request_comes_to_an_end(
    poison: set[int], kills: list[float], replicas: int, seed: int
) -> None:
    engines = Engines(replicas, poison, seed=seed)
    for task in range(60):
        engines.submit_at(task, task)
    for kill in kills:
        engines.kill_at(kill)
    engines.run()
    assert engines.answered.keys() | engines.culprits.keys() == set(range(60))
    assert poison <= engines.culprits.keys()
    assert max(engines.asks.values()) <= 21


@pytest.mark.parametrize("replicas", [1, 2])
def test_fifty_kills_under_load_lose_nothing(replicas: int) -> None:
    for seed in range(20):
        engines = Engines(replicas, seed=seed, answer=(0.2, 0.5))
        for task in range(2000):
            engines.submit_at(0.1 * task, task)
        for kill in range(50):
            engines.kill_at(4.0 * kill)
        engines.run()
        assert not engines.culprits
        assert len(engines.answered) == 2000


@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.parametrize("gap", [2.0, 4.0, 8.0])
def test_kills_by_chance_convict_nobody_though_answers_take_as_long_as_engines_live(replicas: int, gap: float) -> None:
    chance = random.Random(7)  # noqa: S311 - an experiment
    for seed in range(10):
        engines = Engines(replicas, seed=seed, answer=(2.0, 6.0))
        kills = list(itertools.accumulate(chance.expovariate(1 / gap) for _ in range(50)))
        for kill in kills:
            engines.kill_at(kill)
        for task in range(int(kills[-1] / 0.3)):
            engines.submit_at(0.3 * task, task)
        engines.run()
        assert not engines.culprits


@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.parametrize("load", [16, 40])
def test_kills_that_come_soon_after_the_first_answer_of_each_engine_lose_nothing(replicas: int, load: int) -> None:
    for seed in range(30):
        engines = Engines(replicas, seed=seed, answer=(0.3, 0.35))
        for task in range(50 * load):
            engines.submit_at(1.6 * (task // load), task)
        engines.kill_after_first_answers(50)
        engines.run()
        assert not engines.culprits
        assert len(engines.answered) == 50 * load
        assert engines.deaths >= 45  # with two, the last may stay idle


def test_honest_requests_go_on_with_the_other_replica_while_a_culprit_is_looked_for() -> None:
    engines = Engines(2, poison={0}, start=30.0, answer=(1.0, 1.0))
    for task in range(2000):
        engines.submit_at(30.0 + 0.1 * task, task)
    engines.run()
    assert set(engines.culprits) == {0}
    late = [task for task in range(20, 2000) if engines.answered[task] - (30.0 + 0.1 * task) > 3.0]
    assert not late


@pytest.mark.parametrize("fatal", [60.0, 300.0])
def test_a_request_that_kills_after_minutes_is_found_after_as_few_deaths(fatal: float) -> None:
    engines = Engines(2, poison={5}, start=30.0, answer=(5.0, 30.0), fatal=fatal)
    for task in range(200):
        engines.submit_at(2.0 * task, task)
    engines.run()
    assert engines.culprits == {5: 3}
    assert len(engines.answered) == 199
