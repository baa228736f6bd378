"""What waits in a block and why: a core on a simulated clock, looked at from outside."""

from typing import Any

import pytest

from rhapsody_parsl.pilot.examination import asks
from rhapsody_parsl.wire.examination import LaneReport
from rhapsody_parsl.wire.reports import ServiceReport
from testing.nodes import make_nodes, make_spec, make_task
from testing.simulation import FakeRuntime, Simulation

LLM = ServiceReport(
    name="llm", state="starting", replicas=1, ready=0, cores=1, gpus=0, node="", url="", model="", since=0, detail="why"
)  # fmt: skip


def lanes_of(block: Simulation, *services: ServiceReport) -> dict[str, LaneReport]:
    found = block.core.examination.lanes(lambda _: ("starting", "it takes a while"), services, block.now)
    return {lane.app: lane for lane in found}


def busy(*, nodes: int = 2, cores: int = 4, **keys: Any) -> Simulation:
    """A block of which two cores of four are taken on each node, until time 100."""
    runtimes = {"local": FakeRuntime(), "mpi": FakeRuntime()}
    block = Simulation(make_nodes(nodes, cores, **keys), runtimes)
    for number in range(nodes):
        block.seconds[number] = 100.0
    block.submit(make_spec("busy", cores=2, placement="spread"), *range(nodes))
    return block


def why(block: Simulation, **keys: Any) -> str:
    block.submit(make_spec("late", **keys), 50, when=1.0)
    block.run(until=2.0)
    return lanes_of(block)["late"].why


def test_counts_and_how_long() -> None:
    block = busy(nodes=1)
    block.seconds[7] = 60.0
    block.submit(make_spec("wide", cores=4), 7, 8, when=1.0)
    block.run(until=5.0)
    lanes = lanes_of(block)
    assert (lanes["busy"].running, lanes["busy"].waiting, lanes["busy"].why) == (1, 0, "")
    assert (lanes["wide"].waiting, lanes["wide"].oldest, lanes["wide"].asks) == (2, block.now - 1.0, "4 cores")


@pytest.mark.parametrize(("keys", "said"), [
    ({"cores": 3}, "it needs 3 cores of one node (at most 2 free)"),
    ({"num_nodes": 2, "ranks_per_node": 3}, "it needs 2 nodes with room, and 0 of these are free now"),
    ({"num_ranks": 6}, "it needs 6 ranks, and 4 of these are free now"),
    ({"placement": "exclusive"}, "it needs 1 untouched nodes, and 0 of these are free now"),
])  # fmt: skip
def test_why_it_has_no_room(keys: dict[str, Any], said: str) -> None:
    assert why(busy(), **keys) == said


def test_no_node_has_all_of_it_at_once() -> None:
    block = busy(nodes=2)
    block.seconds.update({8: 100.0, 9: 100.0})
    block.submit(make_spec("cores", cores=2, memory=1.0), 8, when=0.1)
    block.submit(make_spec("memory", cores=0, memory=64.0), 9, when=0.2)
    assert why(block, cores=2, memory=1.0) == "no node has all that it needs free at once"


def test_a_runtime_that_is_not_ready_is_the_reason() -> None:
    block = Simulation(make_nodes(1), {"local": FakeRuntime(), "mpi": FakeRuntime()})
    block.core.submit([make_task(1, make_spec("early", runtime="mpi", num_ranks=2))], block.now)
    assert lanes_of(block)["early"].why == "runtime mpi is starting: it takes a while"


def test_requests_wait_for_their_service_and_then_for_its_window() -> None:
    block = Simulation(make_nodes(1), {"local": FakeRuntime(), "vllm": FakeRuntime()}, windows={"vllm": 2})
    for number in range(5):
        block.seconds[number] = 50.0
    block.submit(make_spec("ask", service="llm"), *range(5))
    block.run(until=2.0)
    lane = lanes_of(block, LLM)["ask"]
    assert (lane.waiting, lane.running, lane.why) == (3, 2, "service llm is starting: why")
    assert lanes_of(block)["ask"].why == "2 requests are with the services, as many as they are given at once"


def test_where_a_task_is() -> None:
    block = busy(nodes=1, cores=2)
    block.submit(make_spec("late"), 50, when=1.0)
    block.run(until=2.0)
    there, waits = block.core.examination.places([0, 50, 99], lambda runtime, run: f"{runtime}-{run}")
    assert (there.task, there.state, there.app, there.nodes, there.worker) == (0, "running", "busy", ("n0",), "local-1")
    assert (waits.task, waits.state, waits.nodes, waits.worker) == (50, "waiting", (), "")


@pytest.mark.parametrize(("keys", "said"), [
    ({"cores": 1}, "1 core"), ({"cores": 2, "gpus": 1, "memory": 2.0}, "2 cores, 1 GPU, 2 GB"),
    ({"cores": 0, "gpus": 0.5}, "0.5 GPU"), ({"num_ranks": 8, "num_nodes": 2}, "8 ranks on 2 nodes"),
    ({"num_nodes": 1}, "a rank on each core on 1 node"),
    ({"num_ranks": 4, "cores_per_rank": 2, "gpus_per_rank": 1}, "4 ranks with 2 cores and 1 GPU each"),
])  # fmt: skip
def test_what_a_task_takes_in_words(keys: dict[str, Any], said: str) -> None:
    assert asks(make_spec(**keys).resources) == said
