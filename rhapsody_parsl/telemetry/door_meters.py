"""Tells OpenTelemetry of requests at front doors: metrics, and a span for each, below its client's."""

from collections.abc import Mapping

from opentelemetry import trace
from opentelemetry.metrics import Counter, Meter
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from rhapsody_parsl.record.run import RequestRecord

__all__ = ("DoorMeters",)

Attributes = dict[str, str | int | float]
_GIVEN_UP = "refused", "left"
"""Of these it is not for the service to be better."""


class DoorMeters:
    """The metrics and spans of requests.

    Args:
        label: The executor's.
        meter: Makes metrics.
        tracer: Makes spans.
        tokens: Counts tokens; requests of apps have it, too.
    """

    def __init__(self, label: str, meter: Meter, tracer: Tracer, tokens: Counter) -> None:
        self._label, self._tracer, self._tokens = label, tracer, tokens
        self._ended = meter.create_counter("rhapsody.door.requests", "{request}", "Requests at front doors that ended")
        self._waited = meter.create_histogram("rhapsody.door.wait", "s", "Time until a replica had a request")
        self._first = meter.create_histogram("rhapsody.door.first_token", "s", "Time until the first token of a stream")
        self._took = meter.create_histogram("rhapsody.door.duration", "s", "Time until an answer was whole")

    def tell(self, request: RequestRecord) -> None:
        """Tell of a request that has ended."""
        of: Attributes = {"executor": self._label, "service": request.service}
        self._ended.add(1, {**of, "outcome": request.outcome})
        if times := request.request:
            self._waited.record(request.waited, of)
            self._tokens.add(times.tokens, of)
            if times.first:
                self._first.record(request.waited + times.first, of)
        if request.outcome == "done":
            self._took.record(request.seconds, of)
        self._trace(request, of)

    def _trace(self, request: RequestRecord, of: Mapping[str, str | int | float]) -> None:
        carrier = {"traceparent": request.trace} if request.trace else {}
        parent = TraceContextTextMapPropagator().extract(carrier, trace.set_span_in_context(trace.INVALID_SPAN))
        facts: Attributes = {
            **of, "block": request.block, "key": request.key, "url.path": request.path, "outcome": request.outcome,
            "http.response.status_code": request.status, "waited": request.waited, "tries": request.tries,
        }  # fmt: skip
        if times := request.request:
            facts |= {"replica": times.replica, "node": request.node, "first_token": times.first}
            facts |= {"tokens.prompt": times.prompt, "tokens.answer": times.tokens}
        name = f"request {request.service}"
        span = self._tracer.start_span(name, parent, SpanKind.SERVER, facts, start_time=_ns(request.came))
        if request.outcome not in ("done", *_GIVEN_UP):
            span.set_status(Status(StatusCode.ERROR, f"{request.failure or request.outcome}: {request.words}"))
        span.end(_ns(request.ended))


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)
