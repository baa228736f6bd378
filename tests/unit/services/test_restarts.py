"""How often what died is started again, on a clock of the test's own."""

import math

import pytest

from rhapsody_parsl.runtimes.vllm.deaths import Death
from rhapsody_parsl.services.restarts import Restarts


def test_so_many_within_the_window_and_again_when_one_has_left_it() -> None:
    restarts = Restarts(2, 100.0)
    for at in (0.0, 30.0, 60.0):
        assert restarts.wait(at) == 0
        restarts.died(Death(at))
    assert restarts.wait(60.0) == pytest.approx(40.0)
    assert restarts.wait(100.0) == 0
    assert restarts.counted(100.0) == 2


def test_an_answer_proves_that_it_works() -> None:
    restarts = Restarts(1, 100.0)
    for at in range(50):
        restarts.died(Death(at))
        assert restarts.wait(at) == 0
        restarts.answered()


def test_deaths_by_a_request_do_not_count_nor_do_open_ones() -> None:
    restarts = Restarts(1, 100.0)
    deaths = [Death(0.0, [7]), Death(1.0, [7]), Death(2.0, [8])]
    for death in deaths:
        restarts.died(death)
    assert restarts.counted(3.0) == 0
    for death in deaths[:2]:
        death.suspects.clear()
        death.excused = True
    assert restarts.counted(3.0) == 0
    deaths[2].suspects.clear()
    assert restarts.counted(3.0) == 1


def test_none_is_never() -> None:
    restarts = Restarts(0, 100.0)
    restarts.died(Death(0.0, [7]))
    assert restarts.wait(0.0) == math.inf


def test_the_pause_grows_with_the_deaths_that_count() -> None:
    restarts = Restarts(100, 1000.0)
    pauses = []
    for at in range(10):
        pauses.append(restarts.pause(at))
        restarts.died(Death(at))
    assert pauses == [0.5, 0.5, 1, 2, 4, 8, 16, 30, 30, 30]
