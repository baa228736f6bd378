"""No task with a walltime begins in a block that ends before the task must."""

import pytest

from rhapsody_parsl.pilot.instructions import Feed
from rhapsody_parsl.pilot.last_starts import LastStarts
from testing.nodes import make_nodes, make_spec, make_task
from testing.simulation import FakeRuntime, Simulation, kinds

LONG = make_spec("long", cores=4, walltime=30)


def block(ends: float | None) -> Simulation:
    made = Simulation(make_nodes(1), ends=ends)
    made.seconds = dict.fromkeys(range(1000), 30.0)
    return made


def test_what_cannot_end_in_time_is_handed_back_and_not_begun() -> None:
    made = block(ends=100.0)
    made.submit(LONG, 0, 1, 2, 3)
    made.run(until=70.0)
    assert list(made.started) == [0, 1, 2], "they begin at 0.5, 30.5 and 60.5, and the last may begin at 70"
    made.run()
    assert made.late == [3]
    assert kinds(made) == {0: "ok", 1: "ok", 2: "ok"}
    assert made.core.idle


def test_a_task_that_comes_too_late_is_not_even_begun_in_an_idle_block() -> None:
    made = block(ends=100.0)
    made.submit(LONG, 0)
    made.submit(LONG, 1, when=69.0)
    made.submit(LONG, 2, when=71.0)
    made.submit(LONG, 3, 4, when=72.0)
    made.run()
    assert list(made.started) == [0, 1]
    assert made.late == [2, 3, 4]


def test_without_a_walltime_or_without_an_end_tasks_begin_as_ever() -> None:
    made = block(ends=100.0)
    made.submit(make_spec(), 0, 1, when=95.0)
    made.run()
    assert kinds(made) == {0: "ok", 1: "ok"}
    endless = block(ends=None)
    endless.submit(LONG, 0, 1, 2, 3)
    endless.run()
    assert len(endless.ended) == 4
    assert not endless.late


def test_a_shorter_task_of_the_same_lane_still_begins() -> None:
    made = block(ends=100.0)
    made.seconds[1] = 5.0
    made.submit(LONG, 0, when=75.0)
    made.submit(make_spec("long", cores=4, walltime=10), 1, when=76.0)
    made.run()
    assert made.late == [0]
    assert kinds(made) == {1: "ok"}


def test_what_waits_for_a_runtime_is_handed_back_too() -> None:
    made = Simulation(make_nodes(1), {"local": FakeRuntime(), "slow": FakeRuntime()}, ends=30.2)
    made.submit(make_spec(runtime="local", walltime=30), 0)
    made.run()
    assert made.late == [0], "the runtime was ready at 0.5"
    assert not made.started


def test_a_pilot_that_was_frozen_hands_back_first_whatever_it_hears_first() -> None:
    made = block(ends=100.0)
    made.core.submit([make_task(0, LONG)], 0.0)
    made.core.runtime_ready("local", 80.0)
    assert not [each for each in made.core.take() if isinstance(each, Feed)]
    assert made.core.take_late() == [0], "it may begin until 70, and no tick has told so"


def test_what_comes_back_from_a_worker_is_looked_at_again() -> None:
    made = block(ends=100.0)
    made.seconds[0] = made.seconds[1] = 20.0
    made.deadly[0] = 1
    made.submit(make_spec(cores=4, walltime=25, on_loss="rerun"), 0, when=60.0)
    made.run()
    assert made.late == [0], "it was lost at 80 and may begin until 75"


def test_a_cancelled_task_is_handed_to_nobody() -> None:
    made = block(ends=100.0)
    made.submit(LONG, 0, 1, 2, 3)
    made.cancel(3, when=50.0)
    made.run()
    assert made.late == []


@pytest.mark.parametrize("gone", [True, False])
def test_tasks_that_have_begun_are_forgotten(gone: bool) -> None:
    waiting: set[int] = set()
    last = LastStarts(1e6, waiting.__contains__)
    for number in range(10_000):
        waiting.add(number)
        last.add(number, 10.0)
        if gone:
            waiting.discard(number)
    assert (len(last._heap) < 3_000) is gone
    assert len(list(last.passed(1e6))) == len(waiting)
