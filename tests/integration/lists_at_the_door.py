"""Tests of lists of prompts, with the block of `test_front_door`: they stand there by name."""

import os
from concurrent.futures import ThreadPoolExecutor

import openai

from rhapsody_parsl import RhapsodyExecutor
from testing.processes import below
from testing.waiting import until
from tests.integration.asking import asked

SHORT = [f"say {1 + n % 7}" for n in range(200)]


def held(executor: RhapsodyExecutor) -> int:
    """Return how many of the door's requests the replicas of the model have."""
    lines = executor.openai_client(timeout=10).get("/../metrics", cast_to=str).splitlines()
    return sum(int(line.split()[-1]) for line in lines if line.startswith("rhapsody_door_requests_held{"))


class TestLists:
    def test_a_list_is_divided_over_all_replicas(self, client: openai.OpenAI) -> None:
        told = client.completions.with_raw_response.create(model="assistant", prompt=SHORT)
        assert sorted(told.headers["X-Rhapsody-Replica"].split(", ")) == ["assistant-0", "assistant-1"]
        choices = told.parse().choices
        assert [choice.text for choice in choices] == ["tok " * (1 + n % 7) for n in range(200)]
        assert asked(SHORT, "assistant").result(60) == [choice.text for choice in choices]

    def test_a_list_loses_nothing_when_a_replica_is_killed(
        self, executor: RhapsodyExecutor, client: openai.OpenAI
    ) -> None:
        long = ["say 40"] * 400
        with ThreadPoolExecutor() as pool:
            asking = pool.submit(client.completions.create, model="assistant", prompt=long)
            until(lambda: held(executor) > 0)
            below(f"model-{os.getpid()}")[0].kill()
            assert [choice.text for choice in asking.result(60).choices] == ["tok " * 40] * 400
        future = asked(long, "assistant")
        until(lambda: below(f"model-{os.getpid()}"))
        below(f"model-{os.getpid()}")[0].kill()
        assert future.result(60) == ["tok " * 40] * 400
