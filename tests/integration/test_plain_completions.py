"""Plain completions against vLLM's own serving of completions: the same value, tokens and errors, of a real engine."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.integration import plain_program

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed"),
]
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("plain")
    core = str(min(os.sched_getaffinity(0)))
    environment = {
        "VLLM_RPC_BASE_PATH": str(folder), "TMPDIR": str(folder), "VLLM_PLUGINS": "", "VLLM_LOGGING_LEVEL": "ERROR",
        "VLLM_CPU_OMP_THREADS_BIND": core, "OMP_NUM_THREADS": "1", "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "TORCH_COMPILE_DISABLE": "1",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", plain_program.__name__, str(folder)], cwd=ROOT, env={**os.environ, **environment},
        capture_output=True, text=True, check=False, timeout=150,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((folder / "found.json").read_text())


def test_a_plain_request_goes_past_vllms_serving_and_has_the_same_outcome(found: Any) -> None:
    assert {name for name, (served, *_) in found["plain"].items() if served} == set()
    different = {name: (ours, theirs) for name, (_, ours, theirs) in found["plain"].items() if ours != theirs}
    assert different == {}


def test_requests_of_one_moment_have_the_outcomes_that_each_has_alone(found: Any) -> None:
    alone = {name: ours for name, (_, ours, _) in found["plain"].items()}
    assert {name: (ours, alone[name]) for name, ours in found["together"].items() if ours != alone[name]} == {}


def test_any_other_is_vllms_serving_alone(found: Any) -> None:
    asked = {name for name, (served, *_) in found["others"].items() if not served}
    assert asked == {"unknown name"}, "that we refuse ourselves"
    assert [name for name, (_, ours, theirs) in found["others"].items() if ours != theirs] == []


def test_the_outcomes_are_what_was_asked_for(found: Any) -> None:
    plain = {name: ours for name, (_, ours, _) in found["plain"].items()}
    text, prompt, tokens = plain["greedy"]
    assert (len(text) > 0, prompt, tokens) == (True, 5, 32)
    assert [plain[name][2] for name in ("one token", "vLLM's own length")] == [1, 16]
    assert found["text"].startswith(plain["stop 0"][0])
    assert plain["stop 1"][0] == plain["stop 0"][0] + found["text"][9:11]
    assert plain["allowed"][0] != text
    errors = {name for name, ours in plain.items() if isinstance(ours, str)}
    assert errors == {
        "no token", "too many tokens", "more least than most", "empty", "too long", "too many of them", "unknown token",
        "negative token", "no tokens at all", "cold", "hot", "odd stop",
    }  # fmt: skip


def test_who_leaves_has_the_request_aborted(found: Any) -> None:
    assert found["cancel"] == {"during": 1, "after": 0, "cancelled": True}
