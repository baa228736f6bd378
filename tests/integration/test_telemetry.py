"""A run whose script uses OpenTelemetry: from the script's span to those that a task makes, one trace."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("elsewhere")

ROOT = Path(__file__).parents[2]
SCRIPT = """
import json

import parsl
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from rhapsody_parsl import LocalRuntime, RhapsodyExecutor
from tests.integration import traced

if __name__ == "__main__":
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    executor = RhapsodyExecutor(label="lab", runtimes=[LocalRuntime()], cores_per_node=2, telemetry=True)
    told = {}
    with parsl.load(parsl.Config(executors=[executor])):
        with trace.get_tracer("script").start_as_current_span("script"):
            futures = {app.__name__: app() for app in traced.APPS}
            told["script"] = traced.current()
        told.update({name: future.result(60) for name, future in futures.items()})
        told["program"] = open("said").read()
    spans = {each.name: each for each in exporter.get_finished_spans()}
    of = lambda span: f"{span.context.trace_id:032x}-{span.context.span_id:016x}"
    told["spans"] = {name: of(span) for name, span in spans.items()}
    told["parents"] = {name: f"{span.parent.span_id:016x}" for name, span in spans.items() if span.parent}
    print(json.dumps(told))
"""


def test_a_tasks_spans_are_below_that_of_the_task_which_is_below_the_scripts() -> None:
    Path("script.py").write_text(SCRIPT)
    command = [sys.executable, "script.py"]
    said = subprocess.run(
        command, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    told = json.loads(said.stdout)
    spans, script = told["spans"], told["script"].partition("-")[2]
    names = "simulate", "ask", "program", "campaign"
    assert [told["parents"][name] for name in names] == [script] * len(names)
    assert [told[name] for name in ("simulate", "ask")] == [spans[name] for name in ("simulate", "ask")]
    assert told["program"].strip()[3:-3] == spans["program"]
    assert told["campaign"] == [spans["campaign"]] * 2, "a task of a task is in the span of that"
