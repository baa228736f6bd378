import math

import pytest

from rhapsody_parsl.pilot.took import Took


def test_where_walltimes_differ_the_part_that_was_taken_says_how_long_a_task_takes() -> None:
    took = Took()
    took.learn(10.0, walltime=20.0)
    assert took.expected(200.0, late=False) == pytest.approx(100.0)
    took.learn(18.0, walltime=20.0)
    assert took.expected(200.0, late=True) == pytest.approx(180.0)
    assert 100.0 < took.expected(200.0, late=False) < 180.0


def test_with_exact_walltimes_a_task_is_expected_to_take_its_own() -> None:
    took = Took()
    for seconds in (10.0, 90.0, 30.0):
        took.learn(seconds, walltime=seconds)
    assert [took.expected(70.0, late) for late in (False, True)] == [pytest.approx(70.0)] * 2


def test_without_a_walltime_the_seconds_say_it_and_nobody_knows_before_the_first() -> None:
    assert Took().expected(0.0, late=False) == math.inf
    assert Took().expected(50.0, late=False) == 50.0
    took = Took()
    took.learn(30.0)
    assert took.known
    assert took.expected(0.0, late=True) == 30.0
    assert took.expected(20.0, late=True) == 20.0, "no task outlives its walltime"
