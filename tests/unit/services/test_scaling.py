import math

from hypothesis import given
from hypothesis import strategies as st

from rhapsody_parsl.services.scaling import Scaling


def test_it_grows_at_once_by_what_waits_and_to_the_most() -> None:
    scaling = Scaling(1, 4, target=8, idle=10)
    assert [scaling.wanted(1, pending, 0.0) for pending in (0, 8, 9, 24, 1000)] == [1, 1, 2, 3, 4]


def test_it_shrinks_to_what_was_needed_at_most_within_the_time() -> None:
    scaling = Scaling(0, 4, target=8, idle=10)
    seen = [(0.0, 8), (4.0, 16), (9.0, 0), (10.0, 0)]
    assert [scaling.wanted(4, pending, now) for now, pending in seen] == [4, 4, 4, 2]
    assert scaling.wanted(2, 0, 11.0) == 2
    assert scaling.wanted(2, 0, 20.9) == 2
    assert scaling.wanted(2, 0, 21.0) == 0


def test_requests_in_between_begin_the_time_anew() -> None:
    scaling = Scaling(0, 2, target=1, idle=10)
    assert scaling.wanted(1, 0, 0.0) == 1
    assert scaling.wanted(1, 1, 9.0) == 1
    assert scaling.wanted(1, 0, 11.0) == 1
    assert scaling.wanted(1, 0, 21.0) == 0


def test_from_none_the_first_request_starts_one() -> None:
    assert Scaling(0, 8, target=64, idle=10).wanted(0, 1, 0.0) == 1


@given(
    st.integers(0, 3),
    st.integers(0, 5),
    st.integers(1, 9),
    st.lists(st.tuples(st.floats(0, 20), st.integers(0, 60)), max_size=40),
)
def test_it_keeps_within_its_limits_and_to_what_is_needed(
    least: int, more: int, target: int, looks: list[tuple[float, int]]
) -> None:
    scaling, replicas, now = Scaling(least, least + more, target, idle=10), least, 0.0
    for seconds, pending in looks:
        now += seconds
        replicas = scaling.wanted(replicas, pending, now)
        assert min(least + more, math.ceil(pending / target)) <= replicas <= least + more
        assert replicas >= least


def test_what_has_been_idle_can_be_spared_down_to_the_least_number() -> None:
    scaling = Scaling(1, 8, target=1, idle=100.0, lend=5.0)
    assert scaling.spare(4, [0.0, 0.0, 2.0, 6.0], 6.0) == 2
    assert scaling.spare(2, [0.0, 0.0], 6.0) == 1
    assert scaling.spare(1, [0.0], 6.0) == 0
    assert Scaling(0, 8, target=1, idle=100.0, lend=0.0).spare(4, [0.0] * 4, 1000.0) == 0


def test_what_was_lent_comes_back_first_as_long_as_it_would_have_stayed() -> None:
    scaling = Scaling(0, 8, target=1, idle=100.0, lend=5.0)
    assert not scaling.claims(0.0)
    scaling.lent(0.0)
    scaling.lent(50.0)
    assert scaling.claims(99.0)
    assert scaling.claims(99.0)
    assert not scaling.claims(99.0)
    scaling.lent(0.0)
    assert not scaling.claims(100.0)
