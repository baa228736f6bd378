"""Requests that real engines die of. Each death costs an engine's start, so they run on demand only.

`RHAPSODY_POISON=exit,kill,segv,hang` runs those; the small stand-in of `test_engine_deaths` is tried in each run.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import parsl
import pytest
from parsl import Config
from parsl.providers import LocalProvider

from rhapsody_parsl import LocalRuntime, RhapsodyExecutor, VLLMService
from rhapsody_parsl.errors import RequestKilledEngine
from testing import leaks
from testing.tiny_llama import Size, write_tiny_llama
from tests.integration.asking import asked

HARMS = [harm for harm in os.environ.get("RHAPSODY_POISON", "").split(",") if harm]
HOW = {"exit": "exit code 11", "kill": "signal 9", "segv": "signal 11", "hang": "made no step within"}
ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not HARMS, reason="each takes minutes: RHAPSODY_POISON=exit,kill,segv,hang"),
]


@pytest.fixture(scope="module", params=[1, 2], ids=["one", "two"])
def executor(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RhapsodyExecutor]:
    folder = tmp_path_factory.mktemp("poison")
    model = str(write_tiny_llama(folder / "model", Size(context=2048)))
    service = VLLMService(
        "tiny", model, cores=1, stall_timeout=20, replicas=request.param, env={"PYTHONPATH": str(ROOT)},
        engine_args={"max_model_len": 2048, "logits_processors": ["testing.poison:Poison"]},
    )  # fmt: skip
    made = RhapsodyExecutor(
        label="poison",
        runtimes=[LocalRuntime()],
        services=[service],
        request_workers=2,
        provider=LocalProvider(init_blocks=1, max_blocks=1),
        cores_per_node=4,
    )
    config = Config(executors=[made], run_dir=str(folder / "run"), strategy="none", usage_tracking=0)
    with leaks.watch(), parsl.load(config):
        assert isinstance(asked("hello").result(), str)
        yield made


@pytest.fixture(autouse=True)
def nothing_left_behind() -> None:
    """Watch the module instead of each test (in `executor`): engines come and go."""


@pytest.mark.parametrize("harm", HARMS)
def test_a_request_that_a_real_engine_dies_of_fails_alone(executor: RhapsodyExecutor, harm: str) -> None:
    poison = {"prompt": "hello", "max_tokens": 20, "vllm_xargs": {"poison": harm}}
    honest = [asked(f"hello {n}", max_tokens=200, ignore_eos=True) for n in range(8)]
    bad = asked(poison)
    honest += [asked(f"you {n}", max_tokens=100 + n, ignore_eos=True) for n in range(8)]
    error = bad.exception()
    assert isinstance(error, RequestKilledEngine), repr(error)
    assert HOW[harm] in str(error)
    assert all(isinstance(future.result(), str) for future in honest)
    assert isinstance(asked("afterwards", max_tokens=2).result(), str)
    greedy: dict[str, Any] = {"max_tokens": 8, "temperature": 0}
    texts = [f"hello {n}" for n in range(64)]
    each = [future.result() for future in [asked(text, **greedy) for text in texts]]
    assert asked(texts, **greedy).result() == each
    again = asked(poison).exception(20)
    assert isinstance(again, RequestKilledEngine)
