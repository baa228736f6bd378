"""The providers of OpenTelemetry: the script's own, else those that the usual variables ask for."""

import os
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from typing import Any

from rhapsody_parsl.errors import InvalidTask, MissingPackage

__all__ = ("check_installed", "set_up")

_ENDPOINT, _PROTOCOL = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_PROTOCOL"


def check_installed() -> None:
    """See that OpenTelemetry is there.

    Raises:
        MissingPackage: It is not.
    """
    for package in ("opentelemetry", "opentelemetry.sdk"):
        if find_spec(package) is None:
            raise MissingPackage("opentelemetry-sdk", "telemetry", "of the driver")


def set_up() -> None:
    """Make providers as `OTEL_TRACES_EXPORTER` and `OTEL_METRICS_EXPORTER` say, unless the script has made its own.

    Raises:
        InvalidTask: A variable names an exporter that is not installed.
    """
    from opentelemetry import metrics, trace  # noqa: PLC0415 - only who wants it pays for it
    from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415 - as above
    from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader  # noqa: PLC0415 - as above
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - as above
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - as above

    if not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        return
    tracers = TracerProvider()
    for exporter in _exporters("traces"):
        tracers.add_span_processor(BatchSpanProcessor(exporter))
    readers = [
        each if isinstance(each, MetricReader) else PeriodicExportingMetricReader(each)
        for each in _exporters("metrics")
    ]
    trace.set_tracer_provider(tracers)
    metrics.set_meter_provider(MeterProvider(readers))


def _exporters(what: str) -> list[Any]:
    variable = f"OTEL_{what.upper()}_EXPORTER"
    named = os.environ.get(variable, "otlp" if _ENDPOINT in os.environ else "none")
    names = [name.strip() for name in named.split(",")]
    return [_exporter(what, name, variable) for name in names if name not in ("", "none")]


def _exporter(what: str, name: str, variable: str) -> Any:
    points: dict[str, EntryPoint] = {
        point.name: point for point in entry_points(group=f"opentelemetry_{what}_exporter")
    }
    http = os.environ.get(_PROTOCOL, "grpc").startswith("http")
    kinds = ("otlp_proto_http", "otlp_proto_grpc") if http else ("otlp_proto_grpc", "otlp_proto_http")
    point = next((points[each] for each in ((*kinds, name) if name == "otlp" else (name,)) if each in points), None)
    if point is None:
        remedy = f"Install opentelemetry-exporter-{name.replace('_', '-')}, or set {variable}=none"
        raise InvalidTask("telemetry", True, f"{variable} names the exporter {name}, which is not installed", remedy)
    return point.load()()
