from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from rhapsody_parsl.errors import WorkerLost
from rhapsody_parsl.record.recorder import Recorder
from rhapsody_parsl.telemetry.telemetry import Telemetry
from rhapsody_parsl.wire.messages import failed
from rhapsody_parsl.wire.reports import BlockReport, TaskCounts
from testing.nodes import make_inventory
from testing.runs import BEGAN, MadeUp


class Told:
    """A run, and what OpenTelemetry was told of it."""

    def __init__(self) -> None:
        self.exporter, self.reader = InMemorySpanExporter(), InMemoryMetricReader()
        self.tracers = TracerProvider(shutdown_on_exit=False)
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.meters = MeterProvider([self.reader], shutdown_on_exit=False)
        self.run = MadeUp(None)
        self.run.recorder = Recorder(
            label="lab",
            listener=Telemetry("lab", self.tracers, self.meters, lambda: self.run.now),
            clock=lambda: self.run.now,
        )

    def spans(self) -> dict[str, Any]:
        return {span.name: span for span in self.exporter.get_finished_spans()}

    def metrics(self) -> dict[str, list[Any]]:
        data: Any = self.reader.get_metrics_data()
        (scope,) = data.resource_metrics[0].scope_metrics
        return {metric.name: list(metric.data.data_points) for metric in scope.metrics}


@pytest.fixture
def told() -> Iterator[Told]:
    made = Told()
    yield made
    made.tracers.shutdown()
    made.meters.shutdown()


def test_a_task_is_a_span_under_that_of_who_submitted_it_with_its_steps_inside(told: Told) -> None:
    with told.tracers.get_tracer("script").start_as_current_span("campaign") as campaign:
        told.run.ran(1, 1.0, 2.0, name="simulate", waited="cores")
    told.run.recorder.close()
    spans = told.spans()
    task = spans["simulate"]
    assert task.parent.span_id == campaign.get_span_context().span_id
    assert task.attributes["waited_for"] == "cores"
    assert {spans[name].parent.span_id for name in ("wait", "run", "result")} == {task.context.span_id}
    moments = {name: ((s.start_time / 1e9 - BEGAN), (s.end_time / 1e9 - BEGAN)) for name, s in spans.items()}
    assert moments["wait"] == pytest.approx((0.5, 1.0))
    assert moments["run"] == pytest.approx((1.0, 3.0))
    assert moments["simulate"] == pytest.approx((0.5, 3.01))


def test_a_failure_is_an_error_in_its_words_and_nothing_is_kept_of_a_task_that_ended(told: Told) -> None:
    lost = WorkerLost("worker 1", "signal 9")
    told.run.ran(1, 1.0, 2.0, name="bad", make=lambda task: failed(task.id, lost))
    told.run.recorder.close()
    assert told.spans()["bad"].status.description == f"WorkerLost: {lost}"
    assert told.run.recorder._listener is not None
    assert told.run.recorder._listener._spans == {}  # type: ignore[attr-defined]  # of this listener


def test_a_task_is_told_its_span_before_that_ends(told: Told) -> None:
    spans: Any = told.run.recorder._listener
    with told.tracers.get_tracer("script").start_as_current_span("campaign") as campaign:
        traceparent = spans.begin("simulate")
        told.run.ran(1, 1.0, 2.0, name="simulate")
    told.run.recorder.close()
    task, of = told.spans()["simulate"], campaign.get_span_context()
    assert traceparent == f"00-{of.trace_id:032x}-{task.context.span_id:016x}-{of.trace_flags:02x}"
    assert of.trace_flags.sampled
    assert task.parent.span_id == of.span_id
    assert len(told.exporter.get_finished_spans()) == 5, "one for the task, its three steps, the campaign"


def test_how_much_nodes_work_is_told_by_node_and_gpu(told: Told) -> None:
    told.run.recorder.joined("0", make_inventory({"name": "n0", "gpus": 1}))
    told.run.worked(3.0, cpu=0.5, gpu=0.25)
    told.run.recorder.close()
    metrics = told.metrics()
    (busy,) = metrics["rhapsody.gpu.busy"]
    assert (busy.value, dict(busy.attributes)) == (0.25, {"executor": "lab", "block": "0", "node": "n0", "gpu": 0})
    values = [metrics[f"rhapsody.{name}"][0].value for name in ("node.cpu", "node.memory", "gpu.memory")]
    assert values == [0.5, 5e9, 5e9]


def test_metrics_count_what_ended_and_what_waits(told: Told) -> None:
    for number in (1, 2, 3):
        told.run.ran(number, float(number), 2.0)
    told.run.ran(4, 5.0, 1.0, shares=(), service="assistant", tokens=9)
    told.run.recorder.report("0", BlockReport(tasks=TaskCounts(queued=7, running=2)))
    told.run.recorder.close()
    metrics = told.metrics()
    assert sum(point.value for point in metrics["rhapsody.tasks"]) == 4
    assert [point.value for point in metrics["rhapsody.block.waiting"]] == [7]
    assert [point.value for point in metrics["rhapsody.request.tokens"]] == [9]
    assert sum(point.sum for point in metrics["rhapsody.task.duration"]) == pytest.approx(7.0)


def test_a_request_at_the_front_door_is_a_span_below_its_clients_and_counted(told: Told) -> None:
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    told.run.asked(1.0, 2.0, key="carol", tokens=9, trace=trace)
    told.run.asked(2.0, 0.5, end="failed", error="HTTP 400", words="a bad prompt")
    told.run.recorder.close()
    failed_span, span = sorted(told.exporter.get_finished_spans(), key=lambda each: each.parent is not None)
    assert (span.name, f"{span.parent.span_id:016x}") == ("request assistant", "b" * 16)  # type: ignore[union-attr]  # it has one
    assert (span.start_time / 1e9 - BEGAN, span.end_time / 1e9 - BEGAN) == pytest.approx((1.0, 3.0))  # type: ignore[operator]  # as above
    assert span.attributes is not None
    assert (span.attributes["key"], span.attributes["tokens.answer"]) == ("carol", 9)
    assert failed_span.status.description == "HTTP 400: a bad prompt"
    metrics = told.metrics()
    ended = {point.attributes["outcome"]: point.value for point in metrics["rhapsody.door.requests"]}
    assert ended == {"done": 1, "failed": 1}
    assert [point.value for point in metrics["rhapsody.request.tokens"]] == [9]
    assert [point.sum for point in metrics["rhapsody.door.first_token"]] == [pytest.approx(2 * 0.375)]
    assert [point.sum for point in metrics["rhapsody.door.duration"]] == [pytest.approx(2.0)]
