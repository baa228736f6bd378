"""The traces that `python -m benchmarks path` takes: a kind of task's spans, by the place where each ends, in order."""

from typing import Literal, NamedTuple

KERNEL, DRIVER, PILOT, WORKER = "Parsl's DataFlowKernel", "driver", "pilot", "worker"
RANKS, REPLICA, SERVING, ENGINE = "ranks", "replica", "vLLM's serving layer", "vLLM's engine"
CHANGE = "change of process, kernel"

MODULES = {
    "pilot": "rhapsody_parsl.pilot",
    "worker": "rhapsody_parsl.worker",
    "rank": "rhapsody_parsl.runtimes.mpi.world.rank",
    "replica": "rhapsody_parsl.runtimes.vllm.backend",
}
"""What the processes of a block run, by role; the driver is ours."""


class Span(NamedTuple):
    """A span of a trace, stamped at its end.

    No end of a span is the end of a sending: the kernel may let the receiver run first.

    Attributes:
        owner: Whose time it is.
        role: Of the process that stamps; "" where the trace ends with the caller.
        function: `module:Class.function`; not of a `__main__`, which is no module that others see.
        edge: Whether the function's begin is the end of the span, or its end.
        which: The stamp of a task that counts, if there are several.
        of: How many there are.
    """

    owner: str
    role: str = ""
    function: str = ""
    edge: Literal["begins", "ends"] = "begins"
    which: int = 1
    of: int = 1


def _later(owner: str, role: str, function: str, edge: Literal["begins", "ends"] = "begins") -> Span:
    """Return a span that ends with the later one of two ranks."""
    return Span(owner, role, function, edge, which=2, of=2)


_LISTENER = "rhapsody_parsl.wire.stream:StreamListener.send"
_LINE = "rhapsody_parsl.wire.stream_connection:StreamConnection.send"
_SPOKE, _EXCHANGE = (
    "rhapsody_parsl.wire.channel:Spoke.receive",
    "rhapsody_parsl.in_block.exchange:Exchange.send",
)

_OUT = {
    "our submit": Span(KERNEL, "driver", "rhapsody_parsl.executors.executor:RhapsodyExecutor.submit"),
    "packed": Span(DRIVER, "driver", "rhapsody_parsl.executors.link:Link.put"),
    "at the socket": Span(DRIVER, "driver", _LISTENER),
    "in the pilot": Span(CHANGE, "pilot", "rhapsody_parsl.pilot.loop:Pilot._receive"),
}
_BACK = {
    "at the driver's socket": Span(PILOT, "pilot", "rhapsody_parsl.pilot.link:Link.send"),
    "in the driver": Span(CHANGE, "driver", "rhapsody_parsl.executors.executor:RhapsodyExecutor.ended"),
    "result opened": Span(DRIVER, "driver", "rhapsody_parsl.executors.future:TaskFuture.set_result"),
    "in the caller's hands": Span(KERNEL),
}

TRACES = {
    "app": {
        **_OUT,
        "decided": Span(PILOT, "pilot", _EXCHANGE),
        "at the worker's socket": Span(PILOT, "pilot", _LISTENER),
        "in the worker": Span(CHANGE, "worker", _SPOKE, "ends"),
        "begun": Span(WORKER, "worker", "rhapsody_parsl.worker.call:call"),
        "run": Span(WORKER, "worker", "rhapsody_parsl.worker.call:call", "ends"),
        "at the pilot's socket": Span(WORKER, "worker", _LINE),
        "back in the pilot": Span(CHANGE, "pilot", "rhapsody_parsl.pilot.shell:Shell.done"),
        **_BACK,
    },
    "mpi": {
        **_OUT,
        "decided": Span(PILOT, "pilot", "rhapsody_parsl.runtimes.mpi.world.functions:Functions._send"),
        "at the ranks' sockets": _later(PILOT, "pilot", _LISTENER),
        "in the ranks": _later(CHANGE, "rank", _SPOKE, "ends"),
        "communicator made": _later(RANKS, "rank", "rhapsody_parsl.worker.inbox:Inbox.begin"),
        "known to be wanted still": _later(RANKS, "rank", "rhapsody_parsl.payload:open_call"),
        "payload opened": _later(RANKS, "rank", "rhapsody_parsl.payload:open_call", "ends"),
        "function run": _later(RANKS, "rank", "rhapsody_parsl.worker.call:pack"),
        "at the pilot's socket": _later(RANKS, "rank", _LINE),
        "back in the pilot": _later(CHANGE, "pilot", "rhapsody_parsl.runtimes.mpi.world.functions:Functions._receive"),
        **_BACK,
    },
    "request": {
        **_OUT,
        "decided": Span(PILOT, "pilot", _EXCHANGE, of=2),
        "at the worker's socket": Span(PILOT, "pilot", _LISTENER, of=2),
        "in the worker": Span(CHANGE, "worker", _SPOKE, "ends"),
        "body begun": Span(WORKER, "worker", "rhapsody_parsl.worker.prompt:call_body"),
        "body run": Span(WORKER, "worker", "rhapsody_parsl.worker.prompt:call_body", "ends"),
        "prompt at the pilot's socket": Span(WORKER, "worker", _LINE),
        "prompt in the pilot": Span(CHANGE, "pilot", "rhapsody_parsl.runtimes.vllm.prompt_workers:PromptWorkers.done"),
        "at the replica's socket": Span(PILOT, "pilot", _LISTENER, which=2, of=2),
        "in the replica": Span(CHANGE, "replica", "rhapsody_parsl.runtimes.vllm.request_server:RequestServer._begin"),
        "in vLLM": Span(REPLICA, "replica", "rhapsody_parsl.runtimes.vllm.engine:Engine.answer"),
        "in its engine": Span(SERVING, "replica", "vllm.v1.engine.async_llm:AsyncLLM.generate"),
        "out of its engine": Span(ENGINE, "replica", "vllm.v1.engine.output_processor:RequestOutputCollector.put"),
        "answered": Span(SERVING, "replica", "rhapsody_parsl.runtimes.vllm.request_server:pack"),
        "answer at the pilot's socket": Span(REPLICA, "replica", _LINE),
        "answer in the pilot": Span(CHANGE, "pilot", "rhapsody_parsl.services.services:Services._receive"),
        **_BACK,
    },
}
