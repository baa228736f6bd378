"""Requests to a service: they take no lease, many share one run, and each ends by itself."""

import msgspec

from rhapsody_parsl.annotations.policy import PolicyValue
from rhapsody_parsl.annotations.resources import Resources
from rhapsody_parsl.annotations.task_spec import TaskSpec, encode_spec
from rhapsody_parsl.errors import TaskCancelled, WalltimeExceeded
from rhapsody_parsl.pilot.core import Core
from rhapsody_parsl.pilot.instructions import CancelTasks, Feed
from rhapsody_parsl.pilot.ledger import Ledger
from rhapsody_parsl.pilot.runs import Runs
from rhapsody_parsl.wire.failures import from_wire, to_wire
from rhapsody_parsl.wire.messages import FAILED, RESULT, Result, Task
from testing.nodes import make_nodes
from testing.simulation import FakeRuntime

SPEC = encode_spec(TaskSpec(runtime="vllm", service="s", resources=Resources(cores=0), policy=PolicyValue(walltime=5)))
CANCELLED = msgspec.msgpack.encode(to_wire(TaskCancelled()))


def make_core(*tasks: int) -> tuple[Core, int]:
    core = Core(Runs(Ledger(make_nodes(1))), {"vllm": FakeRuntime()}, "vllm", {"vllm": 8})
    core.want("vllm")
    core.runtime_ready("vllm", 0)
    core.submit([Task(task, SPEC, b"") for task in tasks], 0)
    (feed,) = [step for step in core.take() if isinstance(step, Feed)]
    assert [task.id for task in feed.tasks] == list(tasks)
    return core, feed.run.id


def test_a_request_past_its_walltime_ends_alone() -> None:
    core, run = make_core(1, 2, 3)
    core.done(run, [Result(2, RESULT, b"", 1.0)], 1)
    core.tick(6)
    ended = [step for step in core.take() if isinstance(step, CancelTasks)]
    assert [(step.tasks, step.kill) for step in ended] == [([1], True), ([3], True)]
    core.done(run, [Result(1, FAILED, CANCELLED), Result(3, RESULT, b"")], 6)  # 3 was just in time
    results = {result.id: result for result in core.take_results()[0]}
    assert isinstance(from_wire(*msgspec.msgpack.decode(results[1].payload)), WalltimeExceeded)  # type: ignore[arg-type]  # bytes
    assert (results[2].kind, results[3].kind) == (RESULT, RESULT)


def test_of_those_that_wait_for_a_place_the_most_urgent_is_next() -> None:
    def urgent(priority: float) -> bytes:
        return encode_spec(TaskSpec(runtime="vllm", service="s", policy=PolicyValue(priority=priority)))

    core, run = make_core(*range(8))
    core.submit([Task(8, urgent(1), b""), Task(9, urgent(-1), b""), Task(10, urgent(0), b"")], 1)
    core.take()
    order = []
    for number in range(3):
        core.done(run, [Result(number, RESULT, b"")], 2)
        order += [task.id for step in core.take() if isinstance(step, Feed) for task in step.tasks]
    assert order == [9, 10, 8]


def test_a_cancelled_request_is_not_reported() -> None:
    core, run = make_core(1, 2)
    core.cancel([1], 1)
    core.done(run, [Result(1, FAILED, CANCELLED), Result(2, RESULT, b"")], 1)
    assert [result.id for result in core.take_results()[0]] == [2]
