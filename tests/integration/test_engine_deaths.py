"""Engines that die: by a request, by somebody's hand, again and again. The engine is a small stand-in for a real one.

`RHAPSODY_KILLS=50` makes a campaign of the kills that are few here.
"""

import os
import random
import shlex
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import openai
import parsl
import pytest
from parsl import Config
from parsl.providers import LocalProvider

from rhapsody_parsl import LocalRuntime, RhapsodyExecutor, VLLMService
from rhapsody_parsl.errors import PromptsFailed, RequestKilledEngine, ServiceFailed
from testing import leaks
from testing.fake_openai import COMMAND
from testing.processes import below
from testing.waiting import until
from tests.integration.asking import asked

WRAPPER = f"while true; do {shlex.join(COMMAND)}; done"
"""Starts the server again by itself, so that its own process never ends."""
KILLS = int(os.environ.get("RHAPSODY_KILLS", "5"))

pytestmark = pytest.mark.timeout(180 + 10 * KILLS)


@pytest.fixture(scope="module")
def executor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RhapsodyExecutor]:
    folder = tmp_path_factory.mktemp("deaths")
    stand_in: dict[str, Any] = {"cores": 0, "server": "command", "executable": COMMAND}
    services = [
        VLLMService("alone", f"alone-{os.getpid()}", **stand_in),
        VLLMService("pair", f"pair-{os.getpid()}", replicas=2, **stand_in),
        VLLMService("wrapped", f"wrapped-{os.getpid()}", **{**stand_in, "executable": ("sh", "-c", WRAPPER)}),
        VLLMService("frozen", f"frozen-{os.getpid()}", replicas=2, stall_timeout=3, **stand_in),
        VLLMService("frail", f"frail-{os.getpid()}", restarts=1, restart_window=8.0, **stand_in),
    ]
    made = RhapsodyExecutor(
        label="deaths",
        runtimes=[LocalRuntime()],
        services=services,
        provider=LocalProvider(init_blocks=1, max_blocks=1),
    )
    config = Config(
        executors=[made], run_dir=str(folder / "run"), strategy="none", usage_tracking=0, initialize_logging=False
    )  # its log would keep what a later test has to let go of
    with leaks.watch(), parsl.load(config):
        assert [asked("abc", name).result(60) for name in ("alone", "pair", "wrapped", "frozen", "frail")] == [
            "cba"
        ] * 5
        yield made


@pytest.fixture(autouse=True)
def nothing_left_behind() -> None:
    """Watch the module instead of each test (in `executor`): servers come and go."""


def servers(service: str) -> list[Any]:
    return below(f"{service}-{os.getpid()}")


def state(executor: RhapsodyExecutor, service: str) -> dict[str, Any]:
    (block,) = executor.snapshot()["blocks"]
    return next(one for one in block["services"] if one["name"] == service)


@pytest.mark.parametrize(
    ("service", "how"),
    [("alone", "left with exit code 11"), ("pair", "left with exit code 11"), ("wrapped", "stopped answering")],
)
def test_a_request_that_kills_engines_fails_alone(executor: RhapsodyExecutor, service: str, how: str) -> None:
    alike = [asked(f"slow {n}", service) for n in range(4)]  # these travel in one list with the next
    bad = asked("poison", service)
    others = [asked(f"slow {n}", service, max_tokens=5 + n) for n in range(4)]
    many = asked(["slow", "as well"], service)
    error = bad.exception(90)
    assert isinstance(error, RequestKilledEngine)
    assert "engines died under it" in str(error)
    assert how in str(error)
    for futures in (alike, others):
        assert [future.result(60) for future in futures] == [f"slow {n}"[::-1] for n in range(4)]
    assert many.result(60) == ["wols", "llew sa"]
    assert asked("abc", service).result(60) == "cba"
    assert state(executor, service)["state"] == "ready"


def test_a_prompt_of_a_list_that_kills_engines_is_told_apart_from_the_others(executor: RhapsodyExecutor) -> None:
    honest = asked(["slow", "b"], "alone")
    error = asked(["ab", "poison", "slow"], "alone").exception(90)
    assert isinstance(error, PromptsFailed)
    assert error.results == ["ba", None, "wols"]
    assert {place: type(why) for place, why in error.errors.items()} == {1: RequestKilledEngine}
    assert honest.result(60) == ["wols", "b"]


def test_a_request_at_the_front_door_that_kills_the_only_engine_is_refused_and_the_service_lives(
    executor: RhapsodyExecutor,
) -> None:
    beside = asked("slow slow", "alone")  # takes longer than the other needs to kill: it gets an engine for itself
    with executor.openai_client(timeout=90, max_retries=0) as client:
        with pytest.raises(openai.InternalServerError, match="6 replicas of 'alone' died under this request"):
            client.completions.create(model="alone", prompt="poison")
        assert beside.result(60) == "wols wols"
        assert client.completions.create(model="alone", prompt="abc").choices[0].text == "cba"
    assert asked("abc", "alone").result(60) == "cba"
    assert state(executor, "alone")["state"] == "ready"


def test_copies_of_requests_that_kill_fail_with_the_first_of_them(executor: RhapsodyExecutor) -> None:
    honest = [asked(f"slow {n}", "pair") for n in range(4)]
    bad = [asked(f"poison {n % 2}", "pair") for n in range(40)]
    errors = [future.exception(90) for future in bad]
    assert all(isinstance(error, RequestKilledEngine) for error in errors)
    assert len({str(error) for error in errors}) == 2
    assert [future.result(60) for future in honest] == [f"slow {n}"[::-1] for n in range(4)]
    began = time.monotonic()
    assert isinstance(asked("poison 1", "pair").exception(60), RequestKilledEngine)
    assert time.monotonic() - began < 2  # no engine had to die for it
    assert asked("abc", "pair").result(60) == "cba"


@pytest.mark.parametrize("service", ["alone", "pair"])
def test_engines_that_somebody_kills_under_load_lose_nothing(executor: RhapsodyExecutor, service: str) -> None:
    futures: dict[str, Future[Any]] = {}
    for kill in range(KILLS):
        answered = sum(future.done() for future in futures.values())
        for n in range(16):
            text = f"slow {kill}.{n}"
            futures[text] = asked(text, service, max_tokens=1 + n % 4)
        until(lambda: sum(future.done() for future in futures.values()) > answered)  # noqa: B023 - called here only
        time.sleep(random.uniform(0.05, 0.4))  # noqa: S311 - no secret
        until(lambda: servers(service))
        random.choice(servers(service)).kill()  # noqa: S311 - no secret
    assert {text: future.result(60) for text, future in futures.items()} == {text: text[::-1] for text in futures}
    assert asked("abc", service).result(60) == "cba"


@pytest.mark.parametrize(
    ("which", "told"),
    [("server", "its server did nothing within stall_timeout=3 s"), ("holder", "its process showed no sign of life")],
)
def test_an_engine_that_is_frozen_is_replaced_and_others_answer(
    executor: RhapsodyExecutor, which: str, told: str
) -> None:
    until(lambda: state(executor, "frozen")["ready"] == 2)
    server = servers("frozen")[0]
    stopped = server if which == "server" else server.parent()
    futures = {text: asked(text, "frozen") for text in (f"slow {which} {n}" for n in range(64))}
    stopped.suspend()
    assert told in until(lambda: state(executor, "frozen")["detail"])
    assert {text: future.result(60) for text, future in futures.items()} == {text: text[::-1] for text in futures}
    until(lambda: state(executor, "frozen")["ready"] == 2)
    assert not server.is_running()


def test_an_engine_that_is_frozen_under_requests_of_the_front_door_alone_is_replaced(
    executor: RhapsodyExecutor,
) -> None:
    until(lambda: state(executor, "frozen")["ready"] == 2)
    server = servers("frozen")[0]
    with executor.openai_client(timeout=60, max_retries=0) as client, ThreadPoolExecutor(8) as pool:
        server.suspend()
        answers = [pool.submit(client.completions.create, model="frozen", prompt="abc") for _ in range(8)]
        assert [answer.result(60).choices[0].text for answer in answers] == ["cba"] * 8
    until(lambda: state(executor, "frozen")["ready"] == 2)
    assert not server.is_running()


def test_restarts_that_are_used_up_come_back_with_time(executor: RhapsodyExecutor) -> None:
    for _ in range(2):
        until(lambda: state(executor, "frail")["state"] == "ready" and servers("frail"))
        (server,) = servers("frail")
        server.kill()
        server.wait(10)
    until(lambda: state(executor, "frail")["state"] == "failed")
    error = asked("abc", "frail").exception(30)
    assert isinstance(error, ServiceFailed)
    assert "it died 2 times and answered nothing in between (restarts=1, restart_window=8 s)" in str(error)
    assert "it is started again in" in str(error)
    until(lambda: state(executor, "frail")["state"] == "ready")
    assert asked("abc", "frail").result(30) == "cba"
