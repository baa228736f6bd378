from typing import cast

import msgspec
import pytest

from rhapsody_parsl.errors import BackendFailed, WalltimeExceeded, WorkerLost
from rhapsody_parsl.pilot.family import Family
from rhapsody_parsl.pilot.lane import ActiveRun, EndedBy, Lane
from rhapsody_parsl.pilot.outcomes import Outcomes
from rhapsody_parsl.pilot.pool import Pool
from rhapsody_parsl.pilot.shape import Shape
from rhapsody_parsl.pilot.times import Times
from rhapsody_parsl.runtimes.protocol import Run
from rhapsody_parsl.wire.messages import FAILED, RESULT, Result
from rhapsody_parsl.wire.totals import Totals
from testing.nodes import make_nodes, make_spec
from testing.simulation import Simulation, kinds

LOST = WorkerLost("fake", "signal 9")


def make_run(ended_by: EndedBy | None = None, on_loss: str = "fail") -> ActiveRun:
    spec = make_spec(on_loss=on_loss, walltime=5)
    active = ActiveRun(Run(1, spec), Lane(spec, "local", Shape(spec, "local", 0, Pool())), None, 0.0)
    active.ended_by = {1: ended_by} if ended_by else {}
    return active


def told(outcomes: Outcomes) -> list[str]:
    """What the driver is told: `ok`, or the error's name."""
    return ["ok" if r.kind == RESULT else msgspec.msgpack.decode(cast(bytes, r.payload))[0] for r in outcomes.take()]


@pytest.mark.parametrize(
    ("ended_by", "kind", "names"),
    [
        (None, RESULT, ["ok"]),
        (WalltimeExceeded(2.0), RESULT, ["ok"]),  # it was just in time
        (WalltimeExceeded(2.0), FAILED, ["WalltimeExceeded"]),
        ("cancelled", RESULT, []),
        ("cancelled", FAILED, []),
    ],
)
def test_a_result_counts_by_why_its_task_ended(ended_by: EndedBy | None, kind: int, names: list[str]) -> None:
    outcomes = Outcomes(Times(), Family())
    assert outcomes.ended(make_run(ended_by), Result(1, kind, b"")) == bool(names)
    assert told(outcomes) == names
    total = Totals(done=names.count("ok"), failed=len(names) - names.count("ok"), cancelled=not names)
    assert outcomes.tally.total() == outcomes.tally.by_runtime()["local"] == total


@pytest.mark.parametrize(
    ("ended_by", "names"), [(None, ["WorkerLost"]), (WalltimeExceeded(5.0), ["WalltimeExceeded"]), ("cancelled", [])]
)
def test_a_lost_task_that_may_not_run_again_is_told_of(ended_by: EndedBy | None, names: list[str]) -> None:
    outcomes = Outcomes(Times(), Family())
    assert not outcomes.survives(make_run(ended_by), 1, LOST, ())
    assert told(outcomes) == names


def test_a_lost_task_runs_again_three_times_and_as_often_as_it_had_not_begun() -> None:
    outcomes, active = Outcomes(Times(), Family()), make_run(on_loss="rerun")
    assert all(outcomes.survives(active, 1, LOST, ()) for _ in range(3))
    assert all(outcomes.survives(active, 1, LOST, [1]) for _ in range(9))
    assert not outcomes.survives(active, 1, LOST, ())
    assert told(outcomes) == ["WorkerLost"]


def test_one_that_left_begins_to_count_anew() -> None:
    outcomes, active = Outcomes(Times(), Family()), make_run(on_loss="rerun")
    for _ in range(2):
        assert all(outcomes.survives(active, 1, LOST, ()) for _ in range(3))
        outcomes.forget(1)


def test_a_task_whose_process_does_not_start_has_three_starts_and_a_result_forgets_them() -> None:
    outcomes, active, failed = Outcomes(Times(), Family()), make_run(), BackendFailed("a worker", "no process more")
    for _ in range(2):
        assert all(outcomes.survives(active, 1, failed, [1]) for _ in range(2))
        outcomes.ended(active, Result(1, RESULT, b""))
    assert all(outcomes.survives(active, 1, failed, [1]) for _ in range(2))
    assert not outcomes.survives(active, 1, failed, [1])
    assert told(outcomes) == ["ok", "ok", "BackendFailed"]


@pytest.mark.parametrize(("deaths", "on_loss", "kind", "runs"), [
    (1, "fail", "WorkerLost", 1),
    (1, "rerun", "ok", 2),
    (9, "rerun", "WorkerLost", 4),
])  # fmt: skip
def test_lost_with_a_fresh_process_of_its_own(deaths: int, on_loss: str, kind: str, runs: int) -> None:
    block = Simulation(make_nodes(1, cores=1))
    block.submit(make_spec(on_loss=on_loss, isolation="process"), 0, 1)
    block.fragile[0] = deaths
    block.run()
    assert kinds(block) == {0: kind, 1: "ok"}
    assert len(block.started[0]) == runs
    assert len(block.starts) == 1, "the worker that starts such processes lives on"
    assert block.core.idle


def test_a_task_that_was_cancelled_does_not_run_again() -> None:
    block = Simulation(make_nodes(1, cores=1))
    block.submit(make_spec(on_loss="rerun", isolation="process"), 0)
    block.at(0.9, lambda: block.core.cancel([0], block.now))
    block.fragile[0] = 9
    block.run()
    assert (kinds(block), len(block.started[0])) == ({}, 1)
