"""Lists of prompts at the door, with stand-ins for engines behind it."""

import asyncio
from typing import Any

from rhapsody_parsl.door.call import SESSION_HEADER, TIMEOUT_HEADER
from tests.unit.door.standing import PROMPT, Door, within


def test_a_list_is_divided_over_all_replicas_and_answered_in_order() -> None:
    async def test(door: Door) -> None:
        engines = [await door.engine(f"m-{n}/1") for n in range(3)]
        door.in_flight = 20
        door.tell(*(f"m-{n}/1" for n in range(3)))
        asked = [f"say {n}" for n in range(1, 31)]
        status, headers, answer = await door.ask(prompt=asked, headers={SESSION_HEADER: "s"})
        assert status == 200
        assert [choice["text"] for choice in answer["choices"]] == ["tok " * n for n in range(1, 31)]
        assert [choice["index"] for choice in answer["choices"]] == list(range(30))
        assert sorted(headers["X-Rhapsody-Replica"].split(", ")) == ["m-0", "m-1", "m-2"]
        assert min(engine.counts["done"] for engine in engines) >= 5
        assert door.counters.text({}, {}).count('requests_total{model="m",status="200"} 1') == 1, "it is one request"

    within(test)


def test_texts_to_embed_go_in_parts_of_several() -> None:
    async def test(door: Door) -> None:
        engine = await door.engine("m-0/1")
        door.tell("m-0/1")
        async with door.client.post(f"{door.url}/v1/embeddings", json={"model": "m", "input": ["text"] * 200}) as told:
            answer = await told.json()
        assert [entry["index"] for entry in answer["data"]] == list(range(200))
        assert answer["usage"] == {"prompt_tokens": 200, "total_tokens": 200}
        assert engine.counts["done"] == 67

    within(test)


def test_one_prompt_that_is_refused_is_named_and_nothing_more_is_asked() -> None:
    async def test(door: Door) -> None:
        engine = await door.engine("m-0/1")
        door.in_flight = 1
        door.tell("m-0/1")
        status, _, answer = await door.ask(prompt=["a", "b", "refuse", *["c"] * 50])
        assert status == 400
        assert answer["error"] == {"message": "prompt 2: a bad prompt", "type": "x", "code": 7}
        assert engine.counts["done"] == 3
        assert not door.models.held()
        assert not door.models.waiting()

    within(test)


def test_what_a_dead_replica_had_is_asked_again_and_nothing_else() -> None:
    async def test(door: Door) -> None:
        async def die(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            """Leave without an answer."""

        engine = await door.engine("m-0/1")
        await door.breaker("m-1/1", die)
        door.in_flight = 4
        door.tell("m-0/1", "m-1/1")
        status, headers, answer = await door.ask(prompt=["say 1"] * 20)
        assert (status, headers["X-Rhapsody-Replica"], len(answer["choices"])) == (200, "m-0", 20)
        assert engine.counts["done"] == 20

    within(test)


def test_a_client_that_leaves_ends_all_parts(monkeypatch: Any) -> None:
    async def test(door: Door) -> None:
        monkeypatch.setenv("ENGINE_TOKEN", "30")
        engine = await door.engine("m-0/1")
        door.in_flight = 4
        door.tell("m-0/1")
        asking = asyncio.create_task(door.ask(prompt=["say 1"] * 20))
        while engine.counts["running"] < 4:
            await asyncio.sleep(0.01)
        asking.cancel()
        while engine.counts["aborted"] < 4:
            await asyncio.sleep(0.01)
        assert not door.models.held()
        assert not door.models.waiting()

    within(test)


def test_the_time_that_a_client_has_is_that_of_the_whole_list(monkeypatch: Any) -> None:
    async def test(door: Door) -> None:
        monkeypatch.setenv("ENGINE_TOKEN", "0.2")
        await door.engine("m-0/1")
        door.in_flight = 1
        door.tell("m-0/1")
        status, _, answer = await door.ask(prompt=["say 1"] * 20, headers={TIMEOUT_HEADER: "1"})
        assert (status, answer["error"]["code"]) == (504, "timeout")

    within(test)


def test_a_streamed_list_goes_to_one_replica() -> None:
    async def test(door: Door) -> None:
        engines = [await door.engine(f"m-{n}/1") for n in range(2)]
        door.tell("m-0/1", "m-1/1")
        asked = {**PROMPT, "prompt": ["a", "b"], "stream": True}
        async with door.client.post(f"{door.url}/v1/completions", json=asked) as response:
            assert response.status == 200
            await response.read()
        assert [engine.counts["done"] for engine in engines] == [1, 0]

    within(test)
