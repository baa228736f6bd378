import pytest

from testing.line import failure


@pytest.mark.parametrize("hundred", range(20))
def test_whatever_happens_each_task_has_one_outcome(hundred: int) -> None:
    """`make simulation` runs 100,000 of them."""
    assert not list(filter(None, map(failure, range(100 * hundred, 100 * hundred + 100))))
