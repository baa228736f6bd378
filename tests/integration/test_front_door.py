"""The front door, from a task and from the driver's host: by the `openai` package and by curl, while all of it dies.

The engines are stand-ins that stream. `RHAPSODY_KILLS=200` makes a campaign of the kills that are few here.
"""

import importlib.util
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import openai
import parsl
import pytest
from parsl import Config, python_app
from parsl.providers import LocalProvider

import rhapsody_parsl
from rhapsody_parsl import LocalRuntime, RhapsodyExecutor, VLLMService
from rhapsody_parsl.errors import RhapsodyError
from testing import leaks
from testing.pages import ROOT, examples
from testing.processes import below, command_of, processes_of
from testing.streaming_openai import COMMAND
from testing.waiting import until
from tests.integration import asked_at_the_door
from tests.integration.lists_at_the_door import TestLists  # noqa: F401 - its tests are of this block

KILLS = int(os.environ.get("RHAPSODY_KILLS", "4"))
DOOR = "rhapsody_parsl.door.process"
MODEL, GROWS = f"model-{os.getpid()}", f"grows-{os.getpid()}"
TOKEN = 0.01

pytestmark = pytest.mark.timeout(120 + 10 * KILLS)


@python_app
def found() -> tuple[str, str, rhapsody_parsl.Service]:
    service = rhapsody_parsl.service("assistant")
    return os.environ["OPENAI_BASE_URL"], os.environ["OPENAI_API_KEY"], service


@python_app
def asked_from_a_task(name: str) -> str:
    answer = openai.OpenAI().chat.completions.create(model=name, messages=[{"role": "user", "content": "hello"}])
    return str(answer.choices[0].message.content)


@python_app
def nothing() -> None:
    """Come and go."""


@pytest.fixture(scope="module")
def executor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RhapsodyExecutor]:
    stand_in: dict[str, Any] = {
        "cores": 0, "server": "command", "executable": COMMAND, "env": {"ENGINE_TOKEN": str(TOKEN)}, "restarts": 10_000,
    }  # fmt: skip
    made = RhapsodyExecutor(
        label="front",
        runtimes=[LocalRuntime()],
        services=[
            VLLMService("assistant", MODEL, replicas=2, **stand_in),
            VLLMService("grows", GROWS, replicas=(0, 2), requests_per_replica=4, idle_timeout=1, **stand_in),
        ],
        provider=LocalProvider(init_blocks=1, max_blocks=1),
        cores_per_node=2,
        openai_wait=30,
    )
    folder = tmp_path_factory.mktemp("front")
    config = Config(executors=[made], run_dir=str(folder), strategy="none", usage_tracking=0, initialize_logging=False)
    with leaks.watch(), parsl.load(config):
        made.services["assistant"].wait_ready(60)
        yield made


@pytest.fixture(autouse=True)
def nothing_left_behind() -> None:
    """Watch the module instead of each test (in `executor`): servers come and go."""


@pytest.fixture(scope="module")
def client(executor: RhapsodyExecutor) -> Iterator[openai.OpenAI]:
    with executor.openai_client(timeout=60, max_retries=0) as made:
        yield made


def said(client: openai.OpenAI, name: str = "assistant", tokens: int = 3) -> str:
    answer = client.completions.create(model=name, prompt="hello", max_tokens=tokens)
    return answer.choices[0].text


def streamed(client: openai.OpenAI, tokens: int, **more: Any) -> int:
    """Return how many events of a stream came."""
    with client.completions.create(model="assistant", prompt="hello", max_tokens=tokens, stream=True, **more) as stream:
        return sum(1 for _ in stream)


def engines() -> list[dict[str, int]]:
    """Return what each engine says of its requests; one that does not answer any more says nothing."""
    ports = [
        connection.laddr.port
        for process in below(MODEL)
        for connection in process.net_connections("tcp")
        if connection.status == "LISTEN"
    ]
    return [httpx.get(f"http://127.0.0.1:{port}/health").json() for port in ports]


# --- found and asked ---------------------------------------------------------------------------------------------


def test_tasks_and_the_driver_find_one_door_each_with_one_key(
    executor: RhapsodyExecutor, client: openai.OpenAI
) -> None:
    url, key, service = found().result()
    assert (service.base_url, service.api_key) == (url, key)
    assert key == executor.openai_key
    assert service.url != url, "the replica's own address"
    assert executor.openai_url() == executor.openai_url() != url
    assert asked_from_a_task("assistant").result() == "tok "
    assert said(client) == "tok tok tok "
    assert client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "hello"}]
    ).choices[0].message.content == "tok "  # fmt: skip
    assert client.embeddings.create(model="assistant", input="x", encoding_format="float").data[0].embedding == [
        0.5,
        0.25,
    ]
    assert [model.id for model in client.models.list()] == ["assistant", "grows", MODEL]


def test_images_and_priorities_pass_the_door_as_they_are(client: openai.OpenAI) -> None:
    image = {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}
    content = [{"type": "input_text", "text": "What is it? \u00e9"}, image]
    asked = {
        "model": MODEL,
        "input": [{"role": "user", "content": content}],
        "priority": -3,
        "unheard_of": {"a": [1.5]},
    }
    answer = client.post("/responses", body=asked, cast_to=object)
    assert answer == {"path": "/v1/responses", "asked": asked}


def test_a_stream_comes_token_by_token(client: openai.OpenAI) -> None:
    began = time.monotonic()
    with client.completions.create(model="assistant", prompt="x", max_tokens=50, stream=True) as stream:
        came = [time.monotonic() - began for _ in stream]
    assert len(came) == 50
    assert came[0] < came[-1] / 2


def test_langchain_asks_streams_and_embeds(executor: RhapsodyExecutor) -> None:
    langchain_openai = pytest.importorskip("langchain_openai")
    told: dict[str, Any] = {"base_url": executor.openai_url(), "api_key": executor.openai_key, "max_retries": 0}
    chat = langchain_openai.ChatOpenAI(model="assistant", max_completion_tokens=30, **told)
    assert chat.invoke("hello").content == "tok " * 30
    pieces = [piece.content for piece in chat.stream("hello")]
    assert "".join(map(str, pieces)) == "tok " * 30
    assert len(pieces) >= 30
    vectors = langchain_openai.OpenAIEmbeddings(model="assistant", check_embedding_ctx_length=False, **told)
    assert vectors.embed_query("hello") == [0.5, 0.25]
    with pytest.raises(openai.NotFoundError, match="'no' does not exist in this block"):
        langchain_openai.ChatOpenAI(model="no", **told).invoke("hello")


def test_errors_are_those_of_openai(executor: RhapsodyExecutor, client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="'no' does not exist in this block"):
        said(client, "no")
    with pytest.raises(openai.BadRequestError, match="a bad prompt"):
        client.completions.create(model="assistant", prompt="refuse")
    with pytest.raises(openai.AuthenticationError, match="key is missing or wrong"):
        said(executor.openai_client().with_options(api_key="wrong"))


def test_a_further_key_has_limits_and_can_be_removed(executor: RhapsodyExecutor, client: openai.OpenAI) -> None:
    key = executor.openai_keys.add("carol", requests_per_minute=2)
    hers = client.with_options(api_key=key)
    assert said(hers) == said(hers) == "tok tok tok "
    with pytest.raises(openai.RateLimitError, match="Key 'carol' has asked 2 times within a minute") as caught:
        said(hers)
    assert 1 <= int(caught.value.response.headers["Retry-After"]) <= 60
    assert said(client) == "tok tok tok ", "others are not concerned"
    bob = client.with_options(api_key=executor.openai_keys.add("bob"))
    (door,) = processes_of(DOOR)
    door.kill()
    assert said(bob.with_options(max_retries=3)) == "tok tok tok ", "a door that comes back knows the keys"
    executor.openai_keys.remove("bob")
    until(lambda: asked_at_the_door.is_stranger(bob))
    texts = [path.read_text(errors="replace") for path in Path(executor.run_dir).rglob("*") if path.is_file()]
    assert texts
    assert not any(key in text for text in texts)


def test_requests_are_recorded_with_how_they_end(executor: RhapsodyExecutor, client: openai.OpenAI) -> None:
    asked_at_the_door.check_all_ends(executor, client)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_streams_with_the_key_in_a_file(executor: RhapsodyExecutor, tmp_path: Path) -> None:
    header = tmp_path / "key"
    header.write_text(f"Authorization: Bearer {executor.openai_key}")
    body = '{"model": "assistant", "prompt": "x", "max_tokens": 4, "stream": true}'
    command = ["curl", "-sSN", "-H", f"@{header}", "-H", "Content-Type: application/json", "-d", body]
    done = subprocess.run(
        [*command, f"{executor.openai_url()}/completions"], capture_output=True, text=True, check=True
    )
    assert done.stdout.count("data: {") == 4
    assert done.stdout.endswith("data: [DONE]\n\n")


def test_a_client_that_goes_ends_its_request_in_the_engine(client: openai.OpenAI) -> None:
    before = sum(each["aborted"] for each in engines())
    stream = client.completions.create(model="assistant", prompt="x", max_tokens=100_000, stream=True)
    next(iter(stream))
    stream.close()
    until(lambda: sum(each["aborted"] for each in engines()) > before, 10)


def test_the_key_is_in_no_log_and_on_no_command_line(executor: RhapsodyExecutor) -> None:
    lines = [command_of(process) for process in below()]
    assert any(DOOR in line for line in lines)
    texts = [*lines, *(path.read_text(errors="replace") for path in Path(executor.run_dir).rglob("*.log"))]
    assert not any(executor.openai_key in text for text in texts)
    assert executor.openai_key not in repr(executor) + str(executor.snapshot())


def test_a_slow_reader_holds_up_no_other_and_no_task(executor: RhapsodyExecutor, client: openai.OpenAI) -> None:
    flood = {"max_tokens": 100_000, "stream": True, "extra_body": {"wide": 20_000}}
    slow = [client.completions.create(model="assistant", prompt="x", **flood) for _ in range(4)]  # type: ignore[call-overload]  # plain
    time.sleep(1)  # until they are full
    for _ in range(5):
        began = time.monotonic()
        nothing().result()
        assert streamed(client, 3) == 3
        assert time.monotonic() - began < 10
    for stream in slow:
        stream.close()


def test_the_examples_of_the_page_run(executor: RhapsodyExecutor) -> None:
    names: dict[str, Any] = {}
    for number, example in enumerate(examples(ROOT / "docs" / "front_door.md")):
        if "langchain" in example and importlib.util.find_spec("langchain_openai") is None:
            continue
        own: dict[str, Any] = (
            {"executor": executor} if "executor" in example else {}
        )  # a task's function takes all along
        exec(compile(example, f"front_door.md, example {number + 1}", "exec"), own)  # noqa: S102 - ours
        names |= own
    assert names["text"] == names["words"] == "tok "
    assert (names["url"], names["key"]) == (executor.openai_url(), executor.openai_key)
    assert names.get("said", "tok ") == "tok "
    assert "ann" not in executor.openai_keys
    names["client"].close()


# --- while replicas, the door and blocks go ----------------------------------------------------------------------


class Load:
    """Clients that ask again and again, each for a whole answer, until they are told to stop.

    Attributes:
        answered: How many answers were whole.
        problems: What else happened.
    """

    def __init__(self, client: openai.OpenAI, threads: int = 6) -> None:
        self._client, self._over = client, threading.Event()
        self.answered, self.problems = 0, list[str]()
        self._pool = ThreadPoolExecutor(threads)
        self._threads = [self._pool.submit(self._ask) for _ in range(threads)]

    def _ask(self) -> None:
        while not self._over.is_set():
            try:
                assert said(self._client, tokens=5) == "tok " * 5
                self.answered += 1
            except Exception as problem:  # noqa: BLE001 - each is one too many
                self.problems.append(repr(problem))

    def __enter__(self) -> "Load":
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._pool.shutdown()

    def more(self, answers: int = 10) -> None:
        """Wait for further answers."""
        wanted = self.answered + answers
        until(lambda: self.answered >= wanted or self.problems)


def test_no_request_is_lost_when_replicas_are_killed(client: openai.OpenAI) -> None:
    dice = random.Random(1)  # noqa: S311 - who is killed, no secret
    with Load(client) as load:
        for _ in range(KILLS):
            load.more()
            dice.choice(until(lambda: below(MODEL))).kill()
        load.more()
    assert not load.problems


def test_no_stream_is_cut_by_scaling_and_restarts(executor: RhapsodyExecutor, client: openai.OpenAI) -> None:
    service = executor.services["assistant"]
    with ThreadPoolExecutor(6) as pool:
        changes: list[Callable[[], None]] = [lambda: service.scale(1), lambda: service.scale(2), service.restart]
        for change in changes:
            streams = [pool.submit(streamed, client, 60) for _ in range(6)]
            until(lambda: sum(each["running"] for each in engines()) >= 6)
            change()
            assert [stream.result(60) for stream in streams] == [60] * 6
            service.wait_ready(60)


def test_a_model_that_is_stopped_refuses_and_one_that_is_started_answers(
    executor: RhapsodyExecutor, client: openai.OpenAI
) -> None:
    service = executor.services["assistant"]
    with ThreadPoolExecutor(1) as pool:
        stream = pool.submit(streamed, client, 60)
        until(lambda: any(each["running"] for each in engines()))
        service.stop()
        with pytest.raises(openai.InternalServerError, match="it was stopped") as caught:
            said(client)
        assert caught.value.response.status_code == 503
        assert caught.value.response.headers["Retry-After"] == "5"
        assert stream.result(60) == 60, "what was asked before is answered"
    service.wait_stopped(60)
    service.start()
    assert said(client) == "tok tok tok ", "it waits for the replica"
    service.wait_ready(60)


def test_a_request_starts_the_first_replica_of_a_model(executor: RhapsodyExecutor, client: openai.OpenAI) -> None:
    assert not below(GROWS)
    assert said(client, "grows") == "tok tok tok "
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda _: said(client, "grows", tokens=50), range(32)))
    until(lambda: not below(GROWS), 30)


def test_a_door_that_is_killed_comes_back_at_its_address(executor: RhapsodyExecutor, client: openai.OpenAI) -> None:
    url, key, _ = found().result()
    (door,) = processes_of(DOOR)
    stream = asked_at_the_door.begin(executor, client, "eve")
    door.kill()
    assert said(client.with_options(max_retries=3)) == "tok tok tok "
    asked_at_the_door.check_lost(executor, "eve")
    stream.close()
    (after,) = processes_of(DOOR)
    assert after.pid != door.pid
    assert found().result()[:2] == (url, key)
    assert said(openai.OpenAI(base_url=url, api_key=key)) == "tok tok tok "


def test_the_address_stays_when_a_block_goes_and_another_comes(
    executor: RhapsodyExecutor, client: openai.OpenAI
) -> None:
    before = executor.openai_url()
    with ThreadPoolExecutor(1) as pool:
        stream = pool.submit(streamed, client, 60)
        until(lambda: any(each["running"] for each in engines()))
        assert executor.scale_in_facade(1)
        waiting = pool.submit(said, client)
        executor.scale_out_facade(1)
        assert stream.result(60) == 60, "the block leaves when its requests are answered"
        assert waiting.result(60) == "tok tok tok "
    assert executor.openai_url() == before


# --- refused -----------------------------------------------------------------------------------------------------


def test_the_example_runs(tmp_path: Path) -> None:
    script = [sys.executable, str(ROOT / "examples" / "front_door.py"), f"example-{os.getpid()}", *COMMAND]
    said = subprocess.run(
        script, capture_output=True, text=True, check=True, cwd=tmp_path, timeout=60
    ).stdout.splitlines()
    assert said[0].startswith("serving at http://127.0.0.1:")
    assert said[1:] == ["tok " * 16, "from a task: " + "tok " * 16]


def test_an_executor_without_models_or_not_started_has_no_address() -> None:
    bare = RhapsodyExecutor(label="bare", runtimes=[LocalRuntime()])
    with pytest.raises(RhapsodyError, match="The executor is not running"):
        bare.openai_url()
