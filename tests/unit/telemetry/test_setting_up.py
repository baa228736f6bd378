import os
import subprocess
import sys

import pytest

from rhapsody_parsl import RhapsodyExecutor
from rhapsody_parsl.errors import MissingPackage
from rhapsody_parsl.telemetry import setting_up


def run(code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_the_exporters_are_those_that_the_variables_name() -> None:
    code = """
from rhapsody_parsl.telemetry.setting_up import set_up
set_up()
from opentelemetry import trace
trace.get_tracer("x").start_span("hello").end()
trace.get_tracer_provider().shutdown()
"""
    told = run(code, OTEL_TRACES_EXPORTER="console", OTEL_METRICS_EXPORTER="none", OTEL_LOGS_EXPORTER="none")
    assert '"name": "hello"' in told.stdout, told.stderr
    refused = run(code, OTEL_TRACES_EXPORTER="no_such", OTEL_METRICS_EXPORTER="none", OTEL_LOGS_EXPORTER="none")
    assert "telemetry=True" in refused.stderr
    assert "Install opentelemetry-exporter-no-such" in refused.stderr


def test_a_provider_of_the_script_stays() -> None:
    code = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
own = TracerProvider()
trace.set_tracer_provider(own)
from rhapsody_parsl.telemetry.setting_up import set_up
set_up()
assert trace.get_tracer_provider() is own
"""
    told = run(code)
    assert told.returncode == 0, told.stderr


def test_without_the_package_the_executor_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setting_up, "find_spec", lambda name: None)
    with pytest.raises(MissingPackage, match=r"rhapsody-parsl\[telemetry\]"):
        RhapsodyExecutor(telemetry=True)


def test_nothing_of_it_is_imported_when_it_is_off() -> None:
    code = "import sys, rhapsody_parsl; rhapsody_parsl.RhapsodyExecutor; assert 'opentelemetry' not in sys.modules"
    told = run(code)
    assert told.returncode == 0, told.stderr
