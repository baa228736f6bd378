from rhapsody_parsl.runtimes.vllm.command_line import command, flags
from rhapsody_parsl.runtimes.vllm.relay import in_lists
from rhapsody_parsl.runtimes.vllm.settings import EngineSettings
from rhapsody_parsl.service_config import VLLMService


def settings_for(service: VLLMService) -> EngineSettings:
    return EngineSettings(
        name=service.name, endpoint="ipc://x", peer="s-0/1", service=service, model="/m", host="127.0.0.1",
        public_host="127.0.0.1", port=0, secret="key",  # noqa: S106 - no secret
    )  # fmt: skip


def test_vllm_serve_is_the_default() -> None:
    service = VLLMService("s", model="m", server="command", engine_args={"max_model_len": 5, "enforce_eager": False})
    words = command(settings_for(service), 99, "/python")
    assert words[:8] == ["/python", "-m", "vllm.entrypoints.cli.main", "serve", "/m", "--host", "127.0.0.1", "--port"]
    assert words[8:12] == ["99", "--max-model-len", "5", "--no-enforce-eager"]
    assert "--kv-cache-memory-bytes" in words
    assert words[words.index("--served-model-name") + 1 :][:2] == ["s", "/m"]
    assert "key" not in words


def test_a_gpu_service_has_no_cpu_defaults() -> None:
    words = command(settings_for(VLLMService("s", model="m", server="command", gpus=1)), 99, "/python")
    assert "--kv-cache-memory-bytes" not in words


def test_the_blanks_of_a_command_are_filled_in() -> None:
    service = VLLMService("s", model="m", server="command", executable='serve {model} {host}:{port} {api_key} {"a":1}')
    words = command(settings_for(service), 99, "/python")
    assert words == ["serve", "/m", "127.0.0.1:99", "key", "{a:1}"]
    service = VLLMService("s", model="m", server="command", executable=("serve", '{"json": "{model}"}'))
    assert command(settings_for(service), 99, "/python") == ["serve", '{"json": "/m"}']


def test_flags() -> None:
    given = {"a_b": 1, "yes": True, "no": False, "none": None, "many": [1, "x"], "table": {"k": 2}}
    assert flags(given) == ["--a-b", "1", "--yes", "--no-no", "--many", "1", "x", "--table", '{"k": 2}']


def test_requests_that_ask_alike_go_in_lists() -> None:
    requests = [{"prompt": str(i), "max_tokens": i % 2, "stop": ["a"]} for i in range(7)]
    groups = in_lists(requests, 3)
    assert [[request["prompt"] for request in group] for group in groups] == [["0", "2", "4"], ["6"], ["1", "3", "5"]]
    assert in_lists([], 3) == []
