import os
import subprocess
import sys

from rhapsody_parsl.payload import pack_call

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TASK = """
import sys
from rhapsody_parsl.payload import open_call
function, args, kwargs = open_call(bytes.fromhex(sys.argv[1]))
print(function(*args, **kwargs))
"""


def seen() -> "tuple[str, str, str]":
    """What a task sees of its span: by itself, by OpenTelemetry, and in what it starts."""
    import os
    import subprocess

    from opentelemetry import trace

    of = trace.get_current_span().get_span_context()
    told = subprocess.run(
        ["/bin/sh", "-c", "echo $TRACEPARENT"], capture_output=True, text=True, check=True
    ).stdout.strip()
    return os.environ.get("TRACEPARENT", ""), f"{of.trace_id:032x}-{of.span_id:016x}", told


def test_who_opens_a_call_is_in_its_span_and_so_is_what_it_starts() -> None:
    call = pack_call(seen, (), {}, TRACE)
    said = subprocess.run([sys.executable, "-c", TASK, call.hex()], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == str((TRACE, TRACE[3:-3], TRACE))


def test_a_call_without_a_span_costs_nothing_and_loads_nothing() -> None:
    call = pack_call(len, ([],), {})
    assert call == pack_call(len, ([],), {}, "")
    code = TASK + "assert 'opentelemetry' not in sys.modules"
    said = subprocess.run([sys.executable, "-c", code, call.hex()], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "0"


def test_without_opentelemetry_what_is_started_is_told_all_the_same() -> None:
    call = pack_call(os.getenv, ("TRACEPARENT",), {}, TRACE)
    code = "import sys; sys.modules['opentelemetry'] = None" + TASK
    said = subprocess.run([sys.executable, "-c", code, call.hex()], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == TRACE
