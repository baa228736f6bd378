import pytest

from rhapsody_parsl.pilot.idle_leases import IdleLeases
from rhapsody_parsl.pilot.lane import ActiveRun, Lane
from rhapsody_parsl.pilot.pool import Pool
from rhapsody_parsl.pilot.shape import Shape
from rhapsody_parsl.runtimes.protocol import Run
from testing.nodes import make_spec


def test_runs_are_kept_for_a_moment_the_newest_taken_first() -> None:
    kept, lane = IdleLeases(), Lane(make_spec(), "local", Shape(make_spec(), "local", 0, Pool()))
    first, second = (ActiveRun(Run(number, lane.spec), lane, None, 0.0) for number in (1, 2))
    kept.add(first, 1.0)
    kept.add(second, 1.01)
    assert kept.next_expiry(1.01) == [pytest.approx(0.01)]
    assert kept.expired(1.01) == []
    assert kept.expired(1.02) == [first]
    assert (list(kept.but_of(lane)), kept.but_of(None)) == ([], [first, second])
    assert kept.take_newest() is second
    kept.discard(first)
    assert (kept.take_newest(), kept.next_expiry(1.02)) == (None, [])
