"""What a process pays for: nobody loads what it does not use."""

import json
import subprocess
import sys
from collections import Counter
from importlib.util import find_spec
from typing import Any

import pytest
from parsl.serialize import deserialize

from rhapsody_parsl.payload import pack_call

HEAVY = {"dragon", "mpi4py", "numpy", "parsl", "torch", "vllm"}


def loaded(statement: str) -> set[str]:
    code = f"{statement}\nimport json, sys\nprint(json.dumps([name.partition('.')[0] for name in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(json.loads(done.stdout))


@pytest.mark.parametrize(("statement", "never"), [
    ("import rhapsody_parsl", HEAVY | {"msgspec", "psutil", "zmq"}),
    ("import rhapsody_parsl.errors", HEAVY | {"msgspec", "zmq"}),
    ("from rhapsody_parsl import MPI, Policy, annotate", HEAVY | {"zmq"}),
    ("from rhapsody_parsl import DragonRuntime, VLLMService", HEAVY | {"zmq"}),
    ("import rhapsody_parsl.agents.agent", HEAVY | {"cryptography"}),
    ("import rhapsody_parsl.pilot.__main__", HEAVY | {"zmq"}),
    ("import rhapsody_parsl.pilot.loop", HEAVY | {"cryptography"}),
    ("import rhapsody_parsl.worker.loop", HEAVY | {"asyncio", "dill", "psutil", "shutil", "ssl", "zmq"}),
    ("import rhapsody_parsl.worker.loop, rhapsody_parsl.worker.call", HEAVY | {"asyncio", "ssl", "zmq"}),
    ("import rhapsody_parsl.worker.once, rhapsody_parsl.worker.prompt", HEAVY | {"asyncio", "zmq"}),
    ("from rhapsody_parsl import block, service, time_left", HEAVY | {"asyncio", "zmq"}),  # a task pays for these
    ("from rhapsody_parsl import cancel, stream", HEAVY),  # as for these
    ("from rhapsody_parsl import node, tool", HEAVY | {"langchain_core"}),  # so may a task that is an agent
    ("import rhapsody_parsl.hosts.guard", HEAVY | {"asyncio", "msgspec", "psutil", "shutil", "zmq"}),
    ("import rhapsody_parsl.executors.executor", HEAVY - {"parsl"}),
    ("import rhapsody_parsl.cli.main", HEAVY | {"globus_compute_endpoint", "zmq"}),
    ("import rhapsody_parsl.globus_compute", HEAVY | {"globus_compute_endpoint", "zmq"}),
    pytest.param(
        "import rhapsody_parsl.globus_compute.task", HEAVY - {"numpy", "parsl"},
        marks=pytest.mark.skipif(find_spec("globus_compute_common") is None, reason="no Globus Compute"),
    ),
])  # fmt: skip
def test_import_loads_nothing_it_does_not_need(statement: str, never: set[str]) -> None:
    assert not loaded(statement) & never


@pytest.mark.parametrize(("values", "kind"), [("aab", Counter), (["aab"], list)])
def test_a_task_runs_without_parsl_which_opens_what_it_returns(values: Any, kind: Any) -> None:
    code = (
        "import sys; from rhapsody_parsl.worker.call import call\n"
        "print(call(1, bytes.fromhex(sys.argv[1])).payload.hex(), 'parsl' in sys.modules)"
    )
    command = [sys.executable, "-c", code, pack_call(kind, (values,), {}).hex()]
    result, loaded_it = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    assert deserialize(bytes.fromhex(result)) == kind(values)
    assert loaded_it == "False"


def test_every_public_name_resolves_and_a_wrong_one_says_so() -> None:
    import rhapsody_parsl

    assert {name for name in rhapsody_parsl.__all__ if getattr(rhapsody_parsl, name) is None} == set()
    assert set(rhapsody_parsl.__all__) <= set(dir(rhapsody_parsl))
    with pytest.raises(AttributeError, match="has no attribute 'Dragn'"):
        _ = rhapsody_parsl.Dragn
