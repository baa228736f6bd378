from typing import get_args

from parsl.jobs.states import JobState

from rhapsody_parsl.executors.blocks import Block
from rhapsody_parsl.executors.view import describe_block, plain
from rhapsody_parsl.wire.reports import BlockReport, RuntimeReport, ServiceReport, TaskCounts
from rhapsody_parsl.wire.views import BlockState
from testing.nodes import make_inventory

SERVICE = ServiceReport(
    name="a", state="ready", replicas=1, ready=1, cores=0, gpus=0.5, node="n", url="u", model="m", since=1.0, detail=""
)
REPORT = BlockReport(
    tasks=TaskCounts(queued=1), runtimes={"local": RuntimeReport()}, services=(SERVICE,), lost_nodes=("n",)
)


def test_a_block_has_the_same_keys_before_and_after_its_first_report() -> None:
    block = Block("0", 0.0)
    before = describe_block(block, {})
    assert (before.tasks, before.runtimes, before.services, before.lost_nodes) == (TaskCounts(), {}, (), ())
    block.report = REPORT
    after = describe_block(block, {})
    assert (after.tasks, after.runtimes) == (REPORT.tasks, REPORT.runtimes)
    assert (after.services, after.lost_nodes) == (REPORT.services, REPORT.lost_nodes)
    assert plain(before).keys() == plain(after).keys()


def test_a_view_is_plain_data_with_labels_in_order() -> None:
    block = Block("0", 0.0)
    block.inventory = make_inventory({"labels": frozenset(f"l{n}" for n in range(9))})
    block.report = REPORT
    shown = plain(describe_block(block, {}))
    assert shown["state"] == "connected"
    assert shown["nodes"][0]["labels"] == [f"l{n}" for n in range(9)]
    assert (shown["tasks"]["queued"], shown["runtimes"]["local"]["state"]) == (1, "off")
    assert shown["services"][0]["requests"] == {"done": 0, "failed": 0, "lost": 0, "cancelled": 0}


def test_each_state_of_a_job_is_one_of_a_block() -> None:
    assert {state.name.lower() for state in JobState} | {"connected", "leaving"} == set(get_args(BlockState))


def test_a_block_tells_when_its_job_ends() -> None:
    block = Block("0", 0.0)
    assert plain(describe_block(block, {}))["ends_at"] is None
    block.inventory = make_inventory(ends_at=90.0, lasts=60.0)
    assert plain(describe_block(block, {}))["ends_at"] == 90.0
