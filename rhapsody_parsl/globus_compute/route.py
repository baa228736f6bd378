"""Which way a Globus Compute task goes through the executor, from its `resource_specification`.

Once, on any runtime; on every rank, if it is for MPI and its function takes `comm`; or to a model service, if it is for
one: then its function returns the prompt. Whether a function takes `comm` only a worker can tell, who may open it: one
is asked once for each function.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

from globus_compute_common import messagepack
from globus_compute_common.messagepack.message_types import Task
from globus_compute_sdk.serialize import ComputeSerializer

from rhapsody_parsl.annotations.annotation import SPEC_PARAMETER, merge, parse
from rhapsody_parsl.annotations.plain import plain_dict
from rhapsody_parsl.errors import InvalidTask
from rhapsody_parsl.executors.admission import in_order
from rhapsody_parsl.globus_compute.task import Execute, ask_for_prompt, run_on_rank, run_once, takes_comm
from rhapsody_parsl.runtime_config import RuntimeConfig
from rhapsody_parsl.runtime_table import Takes, find

__all__ = ("Call", "Ways")

_MOST_FUNCTIONS = 10_000
_FIRST = -(1 << 20)


@dataclass(frozen=True, slots=True)
class Call:
    """A task as Globus Compute's engine base hands it to us.

    Attributes:
        execute: Globus Compute's `execute_task`.
        packed: The task.
        args: What `execute` takes after it: task id, endpoint id.
        kwargs: Its keywords.
    """

    execute: Execute
    packed: bytes
    args: Sequence[Any]
    kwargs: Mapping[str, Any]


class Submits(Protocol):
    """The part of the executor that is used here."""

    default_runtime: str

    @property
    def offers(self) -> Sequence[RuntimeConfig]:
        """All runtimes that it has."""

    def submit(
        self, func: Any, resource_specification: dict[str, Any] | None, *args: Any, **kwargs: Any
    ) -> Future[Any]:
        """See `RhapsodyExecutor`."""


class Ways:
    """Submits tasks, each its way.

    Args:
        executor: The only one.
    """

    def __init__(self, executor: Submits) -> None:
        self._executor = executor
        self._takes_comm: OrderedDict[str, Future[bool]] = OrderedDict()

    def submit(self, spec: dict[str, Any], call: Call) -> Future[Any]:
        """Submit a task.

        Returns:
            A future for the packed result, or for the completion if a model answers.

        Raises:
            InvalidTask: It can never run.
        """
        runtime, takes = self._runtime(spec)
        if takes.requests:
            return self._give(ask_for_prompt, spec, call)
        if not takes.comm:
            return self._give(run_once, spec, call)
        known = self._ask_whether_comm(call, runtime)
        if known.done():
            return self._give(run_on_rank if known.result() else run_once, spec, call)
        return self._when_known(known, spec, call)

    def _runtime(self, spec: Mapping[str, Any]) -> tuple[str, Takes]:
        merged = merge(plain_dict(spec, SPEC_PARAMETER))
        if merged.get("returns") == "all":
            raise InvalidTask("returns", "all", "a task has one result here", "Return comm.gather(...) instead")
        default = self._executor.default_runtime
        name = parse(merged, kinds=in_order(self._executor.offers, default))[0].runtime or default
        kind = find(name)
        return name, kind.takes if kind else Takes(single=True)

    def _give(self, function: Any, spec: dict[str, Any], call: Call) -> Future[Any]:
        return self._executor.submit(function, spec, call.execute, call.packed, call.args, call.kwargs)

    def _ask_whether_comm(self, call: Call, runtime: str) -> Future[bool]:
        """Return what is known, or will be, of a task's function."""
        task = messagepack.unpack(call.packed)
        code = ComputeSerializer.unpack_buffers(task.task_buffer)[0] if isinstance(task, Task) else ""
        key = hashlib.sha256(code.encode()).hexdigest()
        known = self._takes_comm.get(key)
        if known is None or (known.done() and known.exception()):
            allowed = call.kwargs.get("task_deserializers") or ()
            question = {"runtime": runtime, "num_ranks": 1, "priority": _FIRST}
            known = self._takes_comm[key] = self._executor.submit(takes_comm, question, code, allowed)
            if len(self._takes_comm) > _MOST_FUNCTIONS:
                self._takes_comm.popitem(last=False)
        return known

    def _when_known(self, known: Future[bool], spec: dict[str, Any], call: Call) -> Future[Any]:
        out: Future[Any] = Future()

        def go(answer: Future[bool]) -> None:
            try:
                inner = self._give(run_on_rank if answer.result() else run_once, spec, call)
            except Exception as problem:  # noqa: BLE001 - the task's future has it
                out.set_exception(problem)
            else:
                inner.add_done_callback(lambda done: copy_outcome(done, out))

        known.add_done_callback(go)
        return out


def copy_outcome(done: Future[Any], out: Future[Any]) -> None:
    """Let a future end as another has."""
    if error := done.exception():
        out.set_exception(error)
    else:
        out.set_result(done.result())
