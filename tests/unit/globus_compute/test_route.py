"""Which way a task goes, with an executor that only notes what it is given."""

import uuid
from concurrent.futures import Future
from typing import Any

import pytest
from globus_compute_common import messagepack
from globus_compute_common.messagepack.message_types import Task
from globus_compute_sdk.serialize import ComputeSerializer

from rhapsody_parsl import DragonRuntime, LocalRuntime, MPIRuntime
from rhapsody_parsl.config import ModelRequests
from rhapsody_parsl.errors import BlockLost, InvalidTask
from rhapsody_parsl.globus_compute.route import Call, Ways


class Notes:
    """Stands for the executor."""

    default_runtime = "dragon"
    offers = (DragonRuntime(), LocalRuntime(), MPIRuntime(), ModelRequests())

    def __init__(self) -> None:
        self.names: list[str] = []
        self.futures: list[Future[Any]] = []

    def submit(self, func: Any, resource_specification: Any, *_args: Any, **_kwargs: Any) -> Future[Any]:
        self.names.append(func.__name__)
        self.futures.append(Future())
        return self.futures[-1]


def call(number: int = 1) -> Call:
    serializer = ComputeSerializer()
    buffers = [f"04\nfunction {number}", serializer.serialize(()), serializer.serialize({})]
    task = Task(task_id=uuid.uuid4(), task_buffer=serializer.pack_buffers(buffers))
    return Call(lambda: b"", messagepack.pack(task), (task.task_id, None), {})


@pytest.mark.parametrize(("spec", "function"), [
    ({}, "run_once"),
    ({"runtime": "local", "cores": 2}, "run_once"),
    ({"service": "assistant"}, "ask_for_prompt"),
    ({"num_ranks": 2}, "takes_comm"),
])  # fmt: skip
def test_way_of_a_spec(spec: dict[str, Any], function: str) -> None:
    notes = Notes()
    Ways(notes).submit(spec, call())
    assert notes.names == [function]


@pytest.mark.parametrize(("comm", "function"), [(True, "run_on_rank"), (False, "run_once")])
def test_a_worker_is_asked_once_a_function(comm: bool, function: str) -> None:
    notes, spec = Notes(), {"num_ranks": 2}
    ways = Ways(notes)
    outs = [ways.submit(spec, call()) for _ in range(3)]
    assert notes.names == ["takes_comm"]
    notes.futures[0].set_result(comm)
    ways.submit(spec, call())
    assert notes.names[1:] == [function] * 4
    notes.futures[1].set_result(b"packed")
    assert outs[0].result(0) == b"packed"
    ways.submit(spec, call(2))
    assert notes.names[-1] == "takes_comm"


def test_a_question_that_was_lost_is_asked_again() -> None:
    notes = Notes()
    ways = Ways(notes)
    out = ways.submit({"num_ranks": 2}, call())
    notes.futures[0].set_exception(BlockLost("0", "gone"))
    with pytest.raises(BlockLost):
        out.result(0)
    ways.submit({"num_ranks": 2}, call())
    assert notes.names == ["takes_comm", "takes_comm"]


def test_all_ranks_results_are_refused() -> None:
    with pytest.raises(InvalidTask, match=r"Return comm\.gather"):
        Ways(Notes()).submit({"num_ranks": 2, "returns": "all"}, call())
