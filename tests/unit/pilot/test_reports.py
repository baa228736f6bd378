"""What the driver is told of a block whose core runs on a simulated clock."""

from typing import cast

import pytest

from rhapsody_parsl.errors import BackendFailed
from rhapsody_parsl.pilot.reports import Reports
from rhapsody_parsl.runtimes.protocol import Runtime
from rhapsody_parsl.wire.reports import BlockReport, RuntimeReport, ServiceReport, TaskCounts
from rhapsody_parsl.wire.totals import Totals
from testing.nodes import make_nodes, make_spec
from testing.simulation import FakeRuntime, Simulation

SERVICE = ServiceReport(
    name="llm",
    state="ready",
    replicas=1,
    ready=1,
    cores=1,
    gpus=0.0,
    node="n0",
    url="u",
    model="m",
    since=0.0,
    detail="",
)


def reports_of(block: Simulation) -> Reports:
    return Reports(block.core, cast(dict[str, Runtime], block.runtimes))


def test_a_block_that_has_done_nothing() -> None:
    (report,) = reports_of(Simulation(make_nodes(1))).make()
    assert report.state == BlockReport(runtimes={"local": RuntimeReport()})
    assert report.leases == []


def test_counts_by_outcome_and_runtime_and_requests_by_service() -> None:
    runtimes = {"local": FakeRuntime(), "vllm": FakeRuntime(), "mpi": FakeRuntime()}
    block = Simulation(make_nodes(1, cores=1), runtimes, windows={"vllm": 8})
    reports = reports_of(block)
    reports.note_services([SERVICE])
    reports.note_runtime("mpi", "failed", "no MPI here")
    block.submit(make_spec(), 0, 1, 2, 3)
    block.deadly[0] = 1
    block.cancel(3, when=0.0)
    block.submit(make_spec(service="llm"), 10, 11)
    block.seconds[2] = 100.0
    block.run(until=50.0)
    reports.changed = True  # as the shell sets it when it acts
    (part,) = reports.make()
    state = part.state
    assert [reports.changed] == [False]
    assert state.tasks == TaskCounts(running=1, done=3, lost=1, cancelled=1)
    assert state.runtimes["local"] == RuntimeReport(state="off", running=1, done=1, lost=1, cancelled=1)
    assert state.runtimes["vllm"] == RuntimeReport(done=2)
    assert state.runtimes["mpi"] == RuntimeReport(state="failed", detail="no MPI here")
    assert state.services[0].requests == Totals(done=2)
    assert SERVICE.requests == Totals(), "what the runtime told is as it was"


def test_what_waits_is_told_by_what_it_waits_for() -> None:
    block = Simulation(make_nodes(1, cores=1))
    block.seconds = {0: 1e6}
    block.submit(make_spec(), 0, 1, 2)
    block.run(until=50.0)
    assert next(reports_of(block).make()).state.waits == {"cores": 2}


def test_tasks_of_a_runtime_that_does_not_start_count_with_it() -> None:
    block = Simulation(make_nodes(1), failing={"local": BackendFailed("The local runtime", "no process more")})
    block.submit(make_spec(), 0, 1)
    block.submit(make_spec(cores=99), 2)
    block.run()
    state = next(reports_of(block).make()).state
    assert state.tasks == TaskCounts(failed=3)
    assert state.runtimes["local"].failed == 2, "one was refused, and never routed"


@pytest.mark.parametrize(("cores", "sizes"), [(3, [3]), (4, [4, 0]), (9, [4, 4, 1])])
def test_the_leases_of_a_large_block_are_told_in_parts(
    cores: int, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rhapsody_parsl.pilot.reports._PART", 4)
    block = Simulation(make_nodes(1, cores=cores))
    block.seconds = dict.fromkeys(range(cores), 1e6)
    block.submit(make_spec(), *range(cores))
    block.run(until=50.0)
    parts = list(reports_of(block).make())
    assert [len(part.leases) for part in parts] == sizes
    assert len({lease.lease for part in parts for lease in part.leases}) == cores
    assert [part.more for part in parts] == [True] * (len(parts) - 1) + [False]
