"""Tells OpenTelemetry of tasks and blocks."""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from opentelemetry import metrics, trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, Status, StatusCode

from rhapsody_parsl.record.entries import (
    Asked,
    Asker,
    BlockJoined,
    BlockState,
    Ended,
    Entry,
    Failure,
    NodesUsed,
    Spec,
)
from rhapsody_parsl.record.reading import Heard, task_of
from rhapsody_parsl.record.requests import request_of
from rhapsody_parsl.record.run import TaskRecord
from rhapsody_parsl.telemetry.door_meters import DoorMeters
from rhapsody_parsl.telemetry.node_meters import NodeMeters

__all__ = ("Telemetry",)

_NAME = "rhapsody_parsl"
_NO_FAILURE = Failure(0, "", "")
Attributes = dict[str, str | int | float]


class Telemetry:
    """The listener of a record.

    Args:
        label: The executor's.
        tracers: Where spans go; default the script's provider.
        meters: Where metrics go; default the script's provider.
        clock: Seconds since the epoch.
    """

    def __init__(
        self,
        label: str,
        tracers: trace.TracerProvider | None = None,
        meters: metrics.MeterProvider | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._label, self._clock = label, clock
        self._providers = tracers or trace.get_tracer_provider(), meters or metrics.get_meter_provider()
        self._tracer = self._providers[0].get_tracer(_NAME)
        meter = self._providers[1].get_meter(_NAME)
        self._ended = meter.create_counter("rhapsody.tasks", "{task}", "Tasks that have ended")
        self._waited = meter.create_histogram("rhapsody.task.wait", "s", "Time from submission to start")
        self._ran = meter.create_histogram("rhapsody.task.duration", "s", "Time inside the task's code")
        self._tokens = meter.create_counter("rhapsody.request.tokens", "{token}", "Tokens that services answered")
        self._queued = meter.create_gauge("rhapsody.block.waiting", "{task}", "Tasks that wait in a block")
        self._running = meter.create_gauge("rhapsody.block.running", "{task}", "Tasks that are with a runtime")
        self._nodes = NodeMeters(meter)
        self._door = DoorMeters(label, meter, self._tracer, self._tokens)
        self._begun = threading.local()
        self._spans: dict[int, Span] = {}
        self._specs: dict[int, Spec] = {}
        self._failures: dict[int, Failure] = {}
        self._askers: dict[int, Asker] = {}

    def begin(self, app: str) -> str:
        """Begin the span of the task that this thread submits next, below the one it is in; return its `traceparent`.

        Args:
            app: Name of the task's app.
        """
        span = self._begun.span = self._span(app, self._clock(), None)
        of = span.get_span_context()
        return f"00-{of.trace_id:032x}-{of.span_id:016x}-{of.trace_flags:02x}"

    def submitted(self, task: int) -> None:
        """Note whose span it is that was begun; of a task that has none, one begins now."""
        span = self._begun.__dict__.pop("span", None)
        self._spans[task] = span or self._span("task", self._clock(), None)

    def take(self, piece: Sequence[Entry]) -> None:
        """Tell what the entries say."""
        for entry in piece:
            match entry:
                case Spec() | Failure() | Asker():
                    self._learn(entry)
                case BlockState(block=block, queued=queued, running=running):
                    where = {"executor": self._label, "block": block}
                    self._queued.set(queued, where)
                    self._running.set(running, where)
                case BlockJoined() | NodesUsed():
                    self._nodes.take(self._label, entry)
                case Ended() | Asked():
                    self._tell_all(entry)
                case _:
                    pass

    def _tell_all(self, ended: Ended | Asked) -> None:
        if isinstance(ended, Ended):
            for task in ended.tasks:
                failure = self._failures.get(task.failure, _NO_FAILURE)
                self._tell(task_of(Heard(task, ended, self._specs[task.spec], failure, None)))
            return
        for request in ended.requests:
            failure = self._failures.get(request.failure, _NO_FAILURE)
            self._door.tell(request_of(request, ended.block, self._askers[request.asker], failure))

    def _learn(self, entry: Spec | Failure | Asker) -> None:
        """What later entries name by its number."""
        match entry:
            case Spec(number=number):
                self._specs[number] = entry
            case Failure(number=number):
                self._failures[number] = entry
            case Asker(number=number):
                self._askers[number] = entry

    def close(self) -> None:
        """Have what was told exported."""
        for provider in self._providers:
            with suppress(Exception):  # the exporter has said in the log what hinders it
                getattr(provider, "force_flush", bool)()

    def _tell(self, task: TaskRecord) -> None:
        span = self._spans.pop(task.task, None) or self._span(task.app, task.heard, None)
        kind: Attributes = {"executor": self._label, "app": task.app, "runtime": task.runtime}
        self._ended.add(1, {**kind, "outcome": task.outcome})
        if task.started:
            self._waited.record(max(0.0, task.started - task.submitted), kind)
            self._ran.record(task.seconds, kind)
        if task.request and task.request.tokens:
            self._tokens.add(task.request.tokens, {"executor": self._label, "service": task.service})
        self._trace(task, span, kind)

    def _trace(self, task: TaskRecord, span: Span, kind: Attributes) -> None:
        facts: Attributes = {
            **kind, "task": task.task, "block": task.block, "service": task.service, "outcome": task.outcome,
            "waited_for": task.waited_for, "tries": task.tries,
        }  # fmt: skip
        span.update_name(task.app)
        span.set_attributes(facts)
        inside = trace.set_span_in_context(span)
        steps = {
            "wait": (task.submitted, task.started or task.ended),
            "run": (task.started, task.ended),
            "result": (task.ended if task.started else 0.0, task.heard),
        }
        for name, (start, end) in steps.items():
            if start:
                self._span(name, start, inside).end(_ns(end))
        if task.outcome != "done":
            span.set_status(Status(StatusCode.ERROR, f"{task.failure or task.outcome}: {task.words}"))
        span.end(_ns(task.heard))

    def _span(self, name: str, start: float, parent: Context | None) -> Span:
        """Begin a span, below the current one when no other is named."""
        return self._tracer.start_span(name, parent, start_time=_ns(start))


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)
