"""Requests to model services, as a user makes them; one block serves all tests, for an engine takes half a minute."""

import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from itertools import islice
from typing import Any

import parsl
import psutil
import pytest
from parsl import Config, python_app
from parsl.executors.errors import InvalidResourceSpecification
from parsl.providers import LocalProvider

from rhapsody_parsl import VLLM, LocalRuntime, Policy, RhapsodyExecutor, VLLMService, annotate, cancel, stream
from rhapsody_parsl.errors import ServiceRequestFailed, WalltimeExceeded
from rhapsody_parsl.wire.piece_messages import AHEAD
from testing import leaks
from testing.processes import below, engine_folders
from testing.tiny_idefics import write_tiny_idefics
from testing.tiny_llama import Size, write_tiny_adapter, write_tiny_llama
from testing.waiting import until
from tests.integration.adapters_of_a_model import TestAdapters  # noqa: F401 - its tests are of this block
from tests.integration.asking import asked, problem, running
from tests.integration.images_of_a_model import TestImages  # noqa: F401 - as above
from tests.integration.langchained import test_langchain_asks_streams_and_embeds  # noqa: F401 - it runs here
from tests.integration.lists_of_a_model import TestLists  # noqa: F401 - as above

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(300)]

ENGINE = {"max_model_len": 8192, "scheduling_policy": "priority"}
VECTORS = {"max_model_len": 512, "runner": "pooling", "convert": "embed"}


@pytest.fixture(scope="module")
def executor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RhapsodyExecutor]:
    folder = tmp_path_factory.mktemp("vllm")
    model = str(write_tiny_llama(folder / "model", Size(context=8192)))
    poet = str(write_tiny_adapter(folder / "poet", seed=1))
    write_tiny_adapter(folder / "adapters" / "late", seed=2)
    vectors = VECTORS | {"lora_modules": [f"poet={poet}"]}
    services = [
        VLLMService("tiny", model=model, cores=0, engine_args=ENGINE),
        VLLMService("served", model=model, cores=0, engine_args=ENGINE, server="command", adapters={"poet": poet}),
        VLLMService("eyes", model=str(write_tiny_idefics(folder / "eyes")), cores=0),
        VLLMService("vectors", model=model, cores=0, adapters=str(folder / "adapters"), engine_args=vectors),
    ]
    made = RhapsodyExecutor(
        label="vllm",
        runtimes=[LocalRuntime()],
        services=services,
        request_workers=2,
        provider=LocalProvider(init_blocks=1, max_blocks=1),
    )
    config = Config(executors=[made], run_dir=str(folder / "run"), strategy="none", usage_tracking=0)
    with leaks.watch(), parsl.load(config):
        # What a service keeps in shared memory is to be there before the first test, and gone with the block.
        first = [asked("hello", service) for service in ("tiny", "served", "eyes")]
        assert asked("hello", "vectors", ask="embed").result()
        assert all(isinstance(future.result(), str) for future in first)
        yield made


@pytest.fixture(autouse=True)
def nothing_left_behind() -> None:
    """Watch the module instead of each test (in `executor`): an engine that is started again brings its segments."""


def test_a_prompt_gives_a_text(executor: RhapsodyExecutor) -> None:
    first = asked("hello", max_tokens=8, temperature=0).result()
    assert isinstance(first, str)
    assert first
    assert asked("hello", max_tokens=8, temperature=0).result() == first


def test_prompts_and_messages(executor: RhapsodyExecutor) -> None:
    texts = asked(["hello", "you"], max_tokens=8, temperature=0).result()
    assert len(texts) == 2
    assert all(isinstance(text, str) for text in texts)
    messages = [{"role": "user", "content": "hi"}]
    assert isinstance(asked(messages, max_tokens=8).result(), str)
    assert len(asked("hello", max_tokens=4, n=3).result()) == 3
    assert isinstance(asked({"prompt": [5, 6, 7], "max_tokens": 3}).result(), str)


def test_the_full_response_has_usage(executor: RhapsodyExecutor) -> None:
    response = asked("hello", full=True, max_tokens=8, ignore_eos=True).result()
    assert response["usage"]["completion_tokens"] == 8
    assert response["choices"][0]["finish_reason"] == "length"
    assert response["model"] == "tiny"
    default = asked("hello", full=True, ignore_eos=True).result()
    assert default["usage"]["completion_tokens"] == 16  # the default of vLLM's API
    chat = asked(
        {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 5}, full=True, ignore_eos=True
    ).result()
    assert chat["usage"]["completion_tokens"] == 5
    assert chat["choices"][0]["message"]["role"] == "assistant"


def test_a_structured_choice(executor: RhapsodyExecutor) -> None:
    choice = {"choice": ["yes", "no"]}
    assert asked("Is it?", structured_outputs=choice).result() in ("yes", "no")
    assert asked([{"role": "user", "content": "Is it?"}], structured_outputs=choice).result() in ("yes", "no")


def test_many_at_once_each_get_their_own(executor: RhapsodyExecutor) -> None:
    futures = [asked({"prompt": f"{i}?", "structured_outputs": {"choice": [f"answer {i}"]}}) for i in range(64)]
    assert [future.result() for future in futures] == [f"answer {i}" for i in range(64)]


def test_sampling_parameters_that_only_the_engine_takes(executor: RhapsodyExecutor) -> None:
    response = asked(
        "hello", full=True, detokenize=False, max_tokens=4, ignore_eos=True, return_token_ids=True
    ).result()
    assert response["choices"][0]["text"] == ""
    assert len(response["choices"][0]["token_ids"]) == 4


def test_an_embedding_is_a_list_of_floats_and_a_score_a_float(executor: RhapsodyExecutor) -> None:
    one = asked("hello", "vectors", ask="embed").result()
    both = asked(["hello", "you"], "vectors", ask="embed").result()
    assert len(one) == 64
    assert sum(number**2 for number in one) == pytest.approx(1, abs=1e-3)
    assert both[0] == pytest.approx(one, abs=1e-3)
    assert both[1] != both[0]
    same, other = asked(("hello", ["hello", "quite another"]), "vectors", ask="score").result()
    assert same == pytest.approx(1, abs=1e-3)
    assert other < 0.99
    assert asked(("hello", "hello"), "vectors", ask="score").result() == pytest.approx(same, abs=1e-3)
    full = asked({"input": "hello"}, "vectors", full=True).result()
    assert full["usage"]["prompt_tokens"] == 5


def test_what_a_model_does_not_give_is_said_with_the_key(executor: RhapsodyExecutor) -> None:
    assert "ask it with ask='embed'" in str(problem("hello", "vectors"))
    assert "takes no request with an input (ask='embed')" in str(problem("hello", ask="embed"))
    assert "'max_tokens' is no parameter of a request with an input" in str(
        problem("hello", "vectors", ask="embed", max_tokens=3)
    )
    assert "allowed are text, embed, score" in str(problem("hello", ask="embedding"))


@pytest.mark.parametrize("service", ["tiny", "served"])
@pytest.mark.parametrize("value", ["hello", [{"role": "user", "content": "hi"}]], ids=["prompt", "messages"])
def test_the_pieces_of_an_answer_are_the_answer(value: Any, service: str, executor: RhapsodyExecutor) -> None:
    whole = asked(value, service, max_tokens=12, temperature=0, ignore_eos=True).result()
    future = asked(value, service, max_tokens=12, temperature=0, ignore_eos=True, stream=True)
    pieces = list(stream(future))
    assert "".join(pieces) == future.result() == whole
    assert len(pieces) > 1 or not whole, "special tokens have no text"


def test_an_answer_that_nobody_reads_ends_all_the_same(executor: RhapsodyExecutor) -> None:
    future = asked("hello", max_tokens=200, ignore_eos=True, stream=True)
    whole = future.result(60)
    pieces = list(stream(future))
    assert "".join(pieces) == whole
    assert len(pieces) <= AHEAD + 1


@pytest.mark.parametrize(("value", "parameters", "sentence"), [
    (["a", "b"], {}, "stream one prompt, with n=1"),
    ("hello", {"temperature": -1}, "temperature"),
    ("hello", {"n": 2}, "pieces of several answers would be mixed"),
    ("hello", {"full": True}, "a whole response comes at once"),
    ("hello", {"stream": 1}, "True or False is needed"),
])  # fmt: skip
@pytest.mark.parametrize("service", ["tiny", "served"])
def test_what_has_no_pieces(
    value: Any, parameters: dict[str, Any], sentence: str, service: str, executor: RhapsodyExecutor
) -> None:
    future = asked(value, service, **{"stream": True, **parameters})
    with pytest.raises((ServiceRequestFailed, InvalidResourceSpecification), match=sentence):
        list(stream(future))


def test_an_engine_that_orders_by_priority_takes_that_of_the_task(executor: RhapsodyExecutor) -> None:
    futures = [
        asked("hello", service, priority=number, max_tokens=2) for service in ("tiny", "served") for number in (5, -5)
    ]
    assert all(isinstance(future.result(), str) for future in futures)
    with executor.openai_client(timeout=60) as client:
        assert client.completions.create(model="tiny", prompt="hello", max_tokens=2, extra_body={"priority": 3}).choices


def test_an_unknown_parameter_is_refused(executor: RhapsodyExecutor) -> None:
    with pytest.raises(Exception, match="max_token"):
        asked("hello", max_token=8).result()
    assert "unknown request parameter 'nope'" in str(problem({"prompt": "hello", "nope": 1}))
    assert "'tools' is no parameter of a request with a prompt" in str(problem({"prompt": "hello", "tools": []}))


def test_a_bad_value_fails_its_own_task_only(executor: RhapsodyExecutor) -> None:
    good = [asked(f"hello {i}", max_tokens=4) for i in range(4)]
    error = problem("hello", temperature=-1)
    assert isinstance(error, ServiceRequestFailed)
    assert "Service 'tiny' refused the request: temperature must be non-negative" in str(error)
    assert "temperature='hot': Input should be a valid number" in str(problem({"prompt": "a", "temperature": "hot"}))
    assert "maximum context length is 8192" in str(problem("x" * 9000))
    assert all(isinstance(future.result(), str) for future in good)


def test_an_exception_in_the_body_is_the_tasks_own(executor: RhapsodyExecutor) -> None:
    @python_app
    @annotate(VLLM("tiny"))
    def broken() -> str:
        raise KeyError("mine")

    error = broken().exception()
    assert isinstance(error, KeyError)
    assert error.args == ("mine",)
    assert "it returned int" in str(problem(5))


def test_a_body_that_kills_its_worker_loses_no_other_task(executor: RhapsodyExecutor) -> None:
    @python_app
    @annotate(VLLM("tiny", max_tokens=2))
    def crash() -> str:
        import os

        os._exit(9)

    assert "exit code 9" in str(crash().exception())
    assert isinstance(asked("hello", max_tokens=2).result(), str)


# --- ended early -------------------------------------------------------------------------------------------------

LONG: dict[str, Any] = {"max_tokens": 6000, "ignore_eos": True}


def test_a_cancelled_request_is_aborted_in_the_engine(executor: RhapsodyExecutor) -> None:
    assert running(executor) == 0
    future = asked("hello", **LONG)
    until(lambda: running(executor) >= 1)
    assert cancel(future)
    until(lambda: running(executor) == 0)
    with pytest.raises(CancelledError):
        future.result()


def test_a_reader_that_leaves_has_its_request_aborted(executor: RhapsodyExecutor) -> None:
    assert running(executor) == 0
    future = asked("hello", stream=True, **LONG)
    given = "".join(islice(stream(future), 3))
    assert future.result(20).startswith(given), "the result is what came until then"
    until(lambda: running(executor) == 0)


def test_walltime_ends_a_request(executor: RhapsodyExecutor) -> None:
    began = time.monotonic()
    assert isinstance(problem("hello", walltime=1, **LONG), WalltimeExceeded)
    assert time.monotonic() - began < 10
    until(lambda: running(executor) == 0)


def test_walltime_ends_a_body(executor: RhapsodyExecutor) -> None:
    @python_app
    @annotate(VLLM("tiny"), Policy(walltime=1))
    def sleepy() -> str:
        import time

        time.sleep(100)
        return "late"

    assert isinstance(sleepy().exception(), WalltimeExceeded)


# --- for everyone else -------------------------------------------------------------------------------------------


def test_any_task_finds_the_service_and_needs_the_key(executor: RhapsodyExecutor) -> None:
    @python_app
    def talk() -> tuple[Any, int, bool]:
        import json
        import os
        import urllib.error
        import urllib.request

        from rhapsody_parsl import service

        found = service("tiny")
        body = json.dumps({"model": found.model, "prompt": "hello", "max_tokens": 3, "ignore_eos": True}).encode()
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {found.api_key}"}
        url = f"{found.base_url}/completions"
        with urllib.request.urlopen(urllib.request.Request(url, body, headers)) as reply:  # noqa: S310 - our own
            answer = json.load(reply)
        del headers["Authorization"]
        status = 0
        try:
            urllib.request.urlopen(urllib.request.Request(url, body, headers))  # noqa: S310 - our own service
        except urllib.error.HTTPError as refusal:
            status = refusal.code
        same = os.environ["OPENAI_BASE_URL"] == found.base_url and os.environ["OPENAI_API_KEY"] == found.api_key
        return answer, status, same

    answer, status, same = talk().result()
    assert answer["usage"]["completion_tokens"] == 3
    assert status == 401
    assert same


def test_the_openai_package_reaches_the_engines_through_the_front_door(executor: RhapsodyExecutor) -> None:
    greedy: dict[str, Any] = {"prompt": "hello", "max_tokens": 12, "temperature": 0}
    with executor.openai_client(timeout=60) as client:
        for name in ("tiny", "served"):
            whole = client.completions.create(model=name, **greedy)
            with client.completions.create(model=name, stream=True, **greedy) as stream:
                pieces = [piece.choices[0].text for piece in stream]
            assert "".join(pieces) == whole.choices[0].text
            assert len(pieces) > 2
        chat = client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "hi"}], max_tokens=4)
        assert chat.usage is not None
        assert chat.usage.completion_tokens > 0
        answer = client.post("/../tokenize", body={"model": "tiny", "prompt": "hello"}, cast_to=object)
        assert isinstance(answer, dict)
        assert answer["count"] > 0
        assert client.responses.create(model="tiny", input="hi", max_output_tokens=16).status in (
            "completed",
            "incomplete",
        )
        stream = client.completions.create(model="tiny", stream=True, **{**greedy, "max_tokens": 6000})
        next(iter(stream))
        until(lambda: running(executor) == 1)
        stream.close()
        until(lambda: running(executor) == 0, 3)


def test_a_chat_streams_from_the_engine_through_the_front_door_as_it_is_made(executor: RhapsodyExecutor) -> None:
    asked: Any = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "extra_body": {"ignore_eos": True}}
    with executor.openai_client(timeout=60) as client:
        pieces, under_way = "", 0
        with client.chat.completions.create(stream=True, max_tokens=400, **asked) as stream:
            for piece in stream:
                if pieces and not under_way:
                    under_way = int(running(executor))
                pieces += piece.choices[0].delta.content or ""
        assert under_way == 1, "the first piece was here before the last was made"
        assert len(pieces) > 100


def test_people_see_the_services_without_the_key(executor: RhapsodyExecutor) -> None:
    (block,) = executor.snapshot()["blocks"]
    states = {service["name"]: service["state"] for service in block["services"]}
    assert states == dict.fromkeys(("tiny", "served", "eyes", "vectors"), "ready")
    assert "api_key" not in str(block)


def test_a_worker_that_is_alone_has_no_process_of_its_own(executor: RhapsodyExecutor) -> None:
    assert len(below("VLLM::EngineCore")) == 4
    assert not below("VLLM::Worker")


# --- vllm serve --------------------------------------------------------------------------------------------------


def test_vllm_serve_answers_too(executor: RhapsodyExecutor) -> None:
    same = asked("hello", max_tokens=8, temperature=0).result()
    assert asked("hello", "served", max_tokens=8, temperature=0).result() == same
    assert len(asked(["hello", "you"], "served", max_tokens=2).result()) == 2
    response = asked([{"role": "user", "content": "hi"}], "served", full=True, max_tokens=3, ignore_eos=True).result()
    assert response["usage"]["completion_tokens"] == 3
    error = problem("hello", "served", temperature=-1)
    assert isinstance(error, ServiceRequestFailed)
    assert "temperature" in str(error)


# --- the engine dies: last, for it takes a start -----------------------------------------------------------------


def test_an_engine_that_is_killed_is_started_again_and_asked_again(executor: RhapsodyExecutor) -> None:
    futures = [asked(f"hello {i}", max_tokens=2000, ignore_eos=True) for i in range(4)]
    until(lambda: running(executor) >= 1)
    engine_of("tiny").kill()
    assert all(isinstance(future.result(), str) for future in futures)
    assert isinstance(asked("hello", max_tokens=2).result(), str)


def engine_of(service: str) -> psutil.Process:
    """Return the engine process of a hosted service."""
    for folder in engine_folders(service):
        for host in below(f"{folder}settings.json"):
            for child in below("EngineCore", host.pid):
                return child
    raise AssertionError(f"no engine of {service}")
