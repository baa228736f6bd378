from typing import Any

import pytest

from rhapsody_parsl.pilot.claims import Claims
from rhapsody_parsl.pilot.lane import ActiveRun, Lane
from rhapsody_parsl.pilot.ledger import Ledger
from rhapsody_parsl.pilot.lender import Lender
from rhapsody_parsl.runtimes.protocol import Run
from testing.nodes import make_nodes, make_spec, make_task


def make_lane(arrival: float, name: str = "app", **keys: Any) -> Lane:
    lane = Lane(make_spec(name, **keys), "local", 0, 60.0)
    lane.put([make_task(1, lane.spec)], arrival)
    return lane


def test_an_older_claim_comes_before_the_next_task_of_a_run() -> None:
    ledger = Ledger(make_nodes(1, cores=1))
    claims, lane = Claims(ledger), make_lane(1.0)
    lent = Lender(ledger, lambda: 0.0).lend(lane.spec, ())
    assert lent is not None
    active = ActiveRun(Run(1, lane.spec, lent[1]), lane, lent[0], 1.0)
    claims.add(make_lane(1.1, "younger"), 1.2)
    assert claims.allow(active)
    claims.add(make_lane(0.0, "older"), 1.2)
    assert not claims.allow(active)
    claims.clear()
    assert claims.allow(active)


def test_nodes_are_kept_free_for_whoever_waits_long_enough() -> None:
    claims, gang = Claims(Ledger(make_nodes(2, cores=1))), make_lane(0.0, runtime="mpi", num_ranks=2)
    claims.add(gang, 2.9)
    assert claims.held == set()
    assert claims.next_late(2.9) == [pytest.approx(0.11)]
    claims.clear()
    claims.add(gang, 3.1)
    assert claims.held == {"n0", "n1"}
    assert claims.next_late(3.1) == []
