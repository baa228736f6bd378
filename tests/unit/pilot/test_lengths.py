"""Of tasks that wait the first of those that are short enough is found, whatever comes, leaves and is learnt."""

import math

from hypothesis import given
from hypothesis import strategies as st

from rhapsody_parsl.pilot.classes import class_of
from rhapsody_parsl.pilot.lengths import ByWalltime, Lengths
from rhapsody_parsl.pilot.took import Took
from testing.nodes import make_spec, make_task

WALLTIMES = [0.0, 1.0, 1.02, 5.0, 60.0, 61.0, 3600.0]
steps = st.one_of(
    st.tuples(st.just("come"), st.integers(0, 1), st.sampled_from(WALLTIMES), st.integers(0, 50)),
    st.tuples(st.just("leave"), st.integers(0, 1), st.just(0.0), st.integers(0, 200)),
    st.tuples(st.just("end"), st.integers(0, 1), st.sampled_from(WALLTIMES), st.integers(1, 100)),
)


class Model:
    """Two lanes of one shape, and beside them what waits as a plain list."""

    def __init__(self) -> None:
        self.lengths: Lengths[int] = Lengths()
        self.took = [Took(), Took()]
        self.lanes = [ByWalltime(lane, self.took[lane], self.lengths, ()) for lane in (0, 1)]
        self.waiting: dict[int, tuple[float, int, float, int]] = {}
        self.count = 0

    def come(self, lane: int, walltime: float, claim: int) -> None:
        self.count += 1
        self.lanes[lane].add((float(claim), self.count, walltime, make_task(self.count, make_spec())))
        self.waiting[self.count] = (float(claim), self.count, walltime, lane)

    def leave(self, lane: int, _walltime: float, number: int) -> None:
        if number in self.waiting and self.waiting[number][3] == lane:
            del self.waiting[number]
            self.lanes[lane].discard([number])

    def end(self, lane: int, walltime: float, percent: int) -> None:
        self.took[lane].learn((walltime or 10.0) * percent / 100, walltime)
        self.lanes[lane].measure()

    def lasts(self, number: int) -> float:
        _, _, walltime, lane = self.waiting[number]
        return self.took[lane].expected(walltime, late=True)


@given(st.lists(steps, max_size=60), st.sampled_from([0.5, 2.0, 30.0, 70.0, 5000.0]))
def test_the_first_of_the_short_ones_is_found(history: list[tuple[str, int, float, int]], seconds: float) -> None:
    model = Model()
    for what, lane, walltime, number in history:
        getattr(model, what)(lane, walltime, number)
    found = [entry for entry, _ in model.lengths.up_to(seconds, unknown=False)]
    assert all(entry[1] in model.waiting for entry in found)
    short = [number for number in model.waiting if model.lasts(number) <= seconds * 0.8]  # classes are not exact
    if short:
        assert found
        assert found[0][0] <= min(model.waiting[number][0] for number in short)


def test_of_whom_nobody_knows_how_long_he_takes_is_asked_for_alone() -> None:
    model = Model()
    model.come(0, 0.0, 1)
    model.come(0, 5.0, 2)
    assert [entry[1] for entry, _ in model.lengths.up_to(9.0, unknown=False)] == [2]
    assert [entry[1] for entry, _ in model.lengths.up_to(9.0, unknown=True)] == [1]
    model.end(0, 0.0, 100)
    assert [entry[1] for entry, _ in model.lengths.up_to(11.0, unknown=False)] == [1], "ten seconds are known by now"


def test_what_has_left_is_not_kept() -> None:
    model = Model()
    model.come(1, 60.0, 0)
    for number in range(2, 1000):
        model.come(0, 60.0, number)
        model.leave(0, 0.0, number)
    assert sum(len(bucket._waiting) for bucket in model.lanes[0]._buckets.values()) < 200
    assert [entry[1] for entry, _ in model.lengths.up_to(70.0, unknown=False)] == [1]


def test_classes_are_as_wide_as_told() -> None:
    for number in (1e-3, 0.7, 1.0, 1.01, 59.9, 86_400.0):
        assert number <= class_of(number, 32) <= number * (1 + 1 / 32)
        assert class_of(class_of(number, 32), 32) == class_of(number, 32)
    assert class_of(0.0, 32) == 0.0
    assert math.isfinite(class_of(1e300, 32))


def test_a_part_of_the_walltime_is_no_time() -> None:
    """A task without a walltime took one second, and then one with a walltime all of that."""
    model = Model()
    model.come(0, 3600.0, 1)
    model.come(0, 5.0, 2)
    model.end(0, 0.0, 10)
    assert [entry[1] for entry, _ in model.lengths.up_to(6.0, unknown=False)] == [1]
    model.end(0, 1.0, 100)
    assert next(entry[1] for entry, _ in model.lengths.up_to(6.0, unknown=False)) == 2
