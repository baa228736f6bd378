"""Requests at a front door, and what the record of the run has of them, for tests that have an engine."""

import time
from typing import Any

import openai
import pytest

from rhapsody_parsl import RhapsodyExecutor, record
from rhapsody_parsl.record import RequestRecord
from testing.waiting import until


def asked_with(executor: RhapsodyExecutor, key: str) -> list[RequestRecord]:
    """Return the requests with a key that have ended by now, as the record has it."""
    told = record.read(executor.run_dir).requests
    return [request for request in told if request.key == key and request.outcome != "under way"]


def check_all_ends(executor: RhapsodyExecutor, client: openai.OpenAI) -> None:
    """Ask in each way, and see that the record has it."""
    secret = executor.openai_keys.add("dan", requests_per_minute=3)
    his = client.with_options(api_key=secret)
    answer = his.completions.create(model="assistant", prompt="hello", max_tokens=3)
    assert answer.choices[0].text == "tok tok tok "
    with his.completions.create(model="assistant", prompt="hello", max_tokens=5, stream=True) as pieces:
        assert sum(1 for _ in pieces) == 5
    with pytest.raises(openai.BadRequestError):
        his.completions.create(model="assistant", prompt="refuse")
    with pytest.raises(openai.RateLimitError):
        his.completions.create(model="assistant", prompt="hello")
    whole, stream, bad, refused = until(lambda: (told := asked_with(executor, "dan"))[3:] and told, 20)
    assert (whole.service, whole.outcome, whole.path, whole.status) == ("assistant", "done", "/v1/completions", 200)
    assert whole.request is not None
    assert (whole.request.tokens, whole.request.counted) == (3, False)
    assert whole.request.replica.startswith("assistant-")
    assert whole.node == record.read(executor.run_dir).blocks[0].nodes[0].name
    assert whole.came <= whole.request.asked <= whole.ended
    assert stream.request is not None
    assert (stream.request.tokens, stream.request.counted, stream.request.first > 0) == (5, True, True)
    assert (bad.outcome, bad.failure, bad.words) == ("failed", "HTTP 400", "a bad prompt")
    assert (refused.outcome, refused.failure, refused.request) == ("refused", "rate_limit_exceeded", None)
    totals = executor.snapshot()["totals"]["door"]
    assert totals["assistant"]["done"] >= 2
    assert totals["assistant"]["tokens"] >= 8


def check_lost(executor: RhapsodyExecutor, key: str) -> None:
    """See that the one request with a key was lost with the door's process."""
    (lost,) = until(lambda: asked_with(executor, key), 20)
    assert (lost.outcome, lost.words) == ("lost", "the front door's process is gone: it was ended by signal 9")


def begin(executor: RhapsodyExecutor, client: openai.OpenAI, key: str) -> Any:
    """Return a stream of a further key, when the driver knows of it."""
    hers = client.with_options(api_key=executor.openai_keys.add(key))
    stream = hers.completions.create(model="assistant", prompt="x", max_tokens=100_000, stream=True)
    until(lambda: executor.snapshot()["blocks"][0]["door"].get("assistant"), 20)
    time.sleep(2)  # nobody sees when it is told: after half a second, with the next sign of life
    return stream


def is_stranger(client: openai.OpenAI) -> bool:
    """Return whether a client's key is taken no more."""
    try:
        client.completions.create(model="assistant", prompt="hello")
    except openai.AuthenticationError:
        return True
    return False
