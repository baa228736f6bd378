"""The agents that a driver starts, and its messages to them."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, wait
from functools import partial
from typing import Any, NamedTuple

from parsl.executors.status_handling import BlockProviderExecutor
from parsl.jobs.states import JobStatus
from parsl.providers.base import ExecutionProvider

from rhapsody_parsl.annotations.agent import annotation_of, named
from rhapsody_parsl.annotations.policy import PolicyValue
from rhapsody_parsl.annotations.task_spec import decode_spec, encode_spec
from rhapsody_parsl.errors import AgentNameTaken, InvalidTask, NoAgent, RhapsodyError, TooManyAgents
from rhapsody_parsl.executors.admission import Admission, read
from rhapsody_parsl.executors.blocks import Block
from rhapsody_parsl.executors.functions import FunctionFacts
from rhapsody_parsl.executors.future import TaskFuture
from rhapsody_parsl.executors.link import Link
from rhapsody_parsl.executors.with_references import Packed, WithReferences
from rhapsody_parsl.mail import AgentHandle, message_spec, serve
from rhapsody_parsl.payload import pack_call
from rhapsody_parsl.wire.messages import Task

__all__ = ("WithAgents",)

_STOP_WITHIN = 5.0
"""Seconds for all agents to answer what they have and to stop, when the executor shuts down."""


class _Known(NamedTuple):
    """An agent that has not ended: its future, and the specification of messages to it."""

    future: TaskFuture
    message: bytes


class WithAgents(WithReferences):
    """The part of the executor that starts agents and brings them messages."""

    max_agents: int
    _admission: Admission
    _task_ids: Iterator[int]

    def __init__(
        self,
        provider: ExecutionProvider,
        block_error_handler: bool | Callable[[BlockProviderExecutor, dict[str, JobStatus]], None],
        launch_cmd: str,
    ) -> None:
        super().__init__(provider, block_error_handler, launch_cmd)
        self._agents: dict[str, _Known] = {}
        self._agents_lock = threading.Lock()

    def start_agent(
        self, kind: type, /, *args: Any, name: str = "", resource_specification: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> AgentHandle:  # fmt: skip
        """Start an agent: an object that lives in a block, and whose methods are called by messages.

        Args:
            kind: Its class; the `@annotate` of that counts.
            args: Of its constructor.
            name: By which tasks of its block find it; default is the class' name with a number.
            resource_specification: Overrides the annotation key by key.
            kwargs: The same as `args`, by name.

        Raises:
            InvalidSpecification: It can never run.
            PayloadError: The class or an argument cannot be serialized.
            AgentNameTaken: Another agent of this executor has the name.
            TooManyAgents: There are as many as there may be.
            RhapsodyError: The executor is not running.
        """
        if not isinstance(kind, type):
            raise InvalidTask("agent", kind, "a class is needed", "Write start_agent(Class, its, arguments)")
        link, number = self._running_link(), next(self._task_ids)
        name = name or f"{kind.__name__}-{number}"
        with self._agents_lock:
            self._check_agent(name)
            encoded, spec = self._spec_of_agent(kind, name, resource_specification)
            call = partial(pack_call, serve, (name, spec.policy.signal, kind, *args), kwargs)
            packed = self._with_references(call)
            future = TaskFuture(number, self)  # type: ignore[arg-type]  # it is the executor
            self._agents[name] = _Known(future, message_spec(name, spec.policy.unanswered))
        self._send_off(link, future, encoded, packed)
        future.add_done_callback(partial(self._agent_over, name))
        return AgentHandle(name, self, future)

    def agent(self, name: str) -> AgentHandle:
        """Return the agent that this executor has started under a name.

        Raises:
            NoAgent: There is none, or it has ended.
        """
        known = self._agents.get(name)
        if known is None:
            raise NoAgent(name, f"there are {', '.join(self._agents) or 'none'}")
        return AgentHandle(name, self, known.future)

    def post(self, name: str, packed: Callable[[], bytes], *, keep: bool) -> Future[Any]:
        """Send a message to an agent; see `AgentHandle`.

        Raises:
            DataLost: The value of a reference among the arguments is gone.
            PayloadError: An argument cannot be serialized.
            RhapsodyError: The executor is not running.
        """
        link = self._running_link()
        message = self._with_references(packed)
        future = TaskFuture(next(self._task_ids), self)  # type: ignore[arg-type]  # it is the executor
        if known := self._agents.get(name):
            self._send_off(link, future, known.message, message)
        else:
            future.set_exception(NoAgent(name, "it has ended, or was never started"))
        return future

    def _check_agent(self, name: str) -> None:
        if name in self._agents:
            raise AgentNameTaken(name)
        if len(self._agents) >= self.max_agents:
            raise TooManyAgents(self.max_agents)

    def _spec_of_agent(self, kind: type, name: str, given: Mapping[str, Any] | None) -> tuple[bytes, Any]:
        facts = FunctionFacts(kind.__name__, annotation_of(kind), comm=False, takes_spec=False, agent=True)
        admitted = self._admission.admit(facts, read(given))
        if self._link:
            self._admission.check_fit(admitted, self._link.blocks.inventories())
        return encode_spec(named(decode_spec(admitted.encoded), name)), admitted.spec

    def _running_link(self) -> Link:
        if self._link is None or self._closed:
            raise RhapsodyError(
                f"Executor {self.label} is not running: start it before submit, or use it in a `with` block."
            )
        return self._link

    def _send_off(self, link: Link, future: TaskFuture, spec: bytes, packed: Packed) -> None:
        number = future.parsl_executor_task_id
        self.tasks[number] = future
        task = Task(number, spec, packed.payload, takes=tuple((ref.key, ref.size) for ref in packed.refs))
        if packed.refs:
            self._note_references(future, task, packed.refs, PolicyValue())
        link.put(task)

    def _agent_over(self, name: str, _future: Future[Any]) -> None:
        """An agent has ended: what still waits for it fails."""
        with self._agents_lock:
            self._agents.pop(name, None)
        if self._link:
            self._link.agent_over(name)

    def _stop_agents(self) -> None:
        """Have all agents stop that anything can reach, and those rest whose block drains, before their blocks stop."""
        if self._link is None or not self._agents:
            return
        until, blocks, agents = time.monotonic() + _STOP_WITHIN, self._link.blocks, dict(self._agents)
        there = held_by(blocks, agents, closing=False)
        wait([AgentHandle(name, self, future).stop() for name, future in there.items()], _STOP_WITHIN)
        self._link.wait_for(lambda: not held_by(blocks, agents, closing=True), max(0.0, until - time.monotonic()))


def held_by(blocks: Iterable[Block], agents: Mapping[str, _Known], *, closing: bool) -> dict[str, TaskFuture]:
    """Return the agents in some blocks.

    Args:
        blocks: All that are there.
        agents: All that have not ended.
        closing: Whether in those that drain: there they get no messages, and rest. When all do, no block has them.
    """
    held = {task for block in blocks if block.closing is closing for task in list(block.tasks)}
    return {name: known.future for name, known in agents.items() if known.future.parsl_executor_task_id in held}
