"""How many short tasks a worker is given ahead."""

import pytest

from rhapsody_parsl.runtimes.workers.prefetch import Prefetch


@pytest.mark.parametrize(("seconds", "count"), [
    (0.0, 64), (1e-4, 64), (0.001, 10), (0.004, 2), (0.015, 2), (0.02, 2), (0.021, 1), (60.0, 1),
])  # fmt: skip
def test_about_ten_milliseconds_of_work(seconds: float, count: int) -> None:
    prefetch = Prefetch(least=2)
    assert prefetch.count == 1, "nothing is known yet"
    prefetch.learn(seconds)
    assert prefetch.count == count


def test_a_long_one_counts_at_once_and_short_ones_by_and_by() -> None:
    prefetch = Prefetch(least=1)
    prefetch.learn(0.001)
    prefetch.learn(3.0)
    assert prefetch.count == 1
    prefetch.learn(0.001)
    assert prefetch.count == 1
    for _ in range(100):
        prefetch.learn(0.001)
    assert prefetch.count == 9
