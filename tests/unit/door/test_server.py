"""The door's HTTP, in one process with stand-ins for engines: real ones of ours, and such as break at a given point."""

import asyncio
import json

import aiohttp
import pytest

from rhapsody_parsl.door.call import SESSION_HEADER
from rhapsody_parsl.door.server import PASSED
from rhapsody_parsl.wire.door import ModelRoutes
from tests.unit.door.standing import PROMPT, Door, Talk, within


async def nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Die with the request."""


async def begun(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Die after the head of a stream."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    await writer.drain()


async def amidst(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Die after the first event of a stream."""
    await begun(reader, writer)
    writer.write(b"a\r\ndata: {}\n\n\r\n")
    await writer.drain()
    await asyncio.sleep(0.1)


async def all_but_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send a whole stream, and leave the connection open."""
    await begun(reader, writer)
    writer.write(b"17\r\ndata: {}\n\ndata: [DONE]\n\r\n")
    await reader.read()  # the rest of the request, until the door hangs up


# --- who may ask what --------------------------------------------------------------------------------------------


def test_only_who_shows_the_key_is_served_and_health_and_metrics_tell_no_secret() -> None:
    async def test(door: Door) -> None:
        await door.engine("m-0/1")
        door.tell("m-0/1")
        assert (await door.ask())[0] == 200
        for shown in ("", "Bearer wrong", "key", "Bearer kéy", "Bearer key2"):
            headers = {"Authorization": shown}
            async with door.client.post(f"{door.url}/v1/completions", json=PROMPT, headers=headers) as response:
                assert response.status == 401
                assert (await response.json())["error"]["code"] == "invalid_api_key"
        async with aiohttp.ClientSession() as stranger:
            for path, part in (("/health", '"models_ready":1'), ("/metrics", 'status="200"} 1')):
                async with stranger.get(door.url + path) as response:
                    text = await response.text()
                    assert response.status == 200
                    assert part in text
                    assert "secret" not in text
                    assert "127.0.0.1" not in text

    within(test)


@pytest.mark.parametrize(("method", "path", "status"), [
    ("GET", "/v1/completions", 405), ("POST", "/v1/models", 405), ("POST", "/v1/load_lora_adapter", 404),
    ("POST", "/sleep", 404),
])  # fmt: skip
def test_what_the_door_does_not_pass_on_is_refused_in_openais_shape(method: str, path: str, status: int) -> None:
    async def test(door: Door) -> None:
        async with door.client.request(method, door.url + path) as response:
            assert response.status == status
            assert set((await response.json())["error"]) == {"message", "type", "param", "code"}

    within(test)


@pytest.mark.parametrize(("body", "status", "part"), [
    (b"{", 400, "no JSON object"), (b"[1]", 400, "no JSON object"), (b'{"model": 7}', 400, "'model' is needed"),
    (b'{"model": "\xff"}', 400, "no JSON object"), (b'{"model": "m", "a": ' + b"[" * 9999, 400, "no JSON object"),
    (b'{"model": "x"}', 404, "'x' does not exist in this block. There are 'm', 'inner'"),
])  # fmt: skip
def test_a_request_that_asks_for_nothing_there_is_says_what_there_is(body: bytes, status: int, part: str) -> None:
    async def test(door: Door) -> None:
        await door.engine("m-0/1")
        door.tell("m-0/1")
        async with door.client.post(f"{door.url}/v1/completions", data=body) as response:
            assert response.status == status
            assert part in (await response.json())["error"]["message"]

    within(test)


def test_what_is_odd_in_a_body_is_for_the_engine_to_refuse() -> None:
    async def test(door: Door) -> None:
        await door.engine("m-0/1")
        door.tell("m-0/1")
        for odd in ({"priority": 10**999}, {"priority": "high"}, {"prompt": [1, {}] * 256}, {"prompt": None}):
            assert (await door.ask(**odd))[0] == 200, "the stand-in refuses nothing"

    within(test)


def test_a_body_that_is_not_packed_as_it_says_is_refused() -> None:
    async def test(door: Door) -> None:
        headers = {"Content-Encoding": "gzip"}
        async with door.client.post(f"{door.url}/v1/completions", data=b"plain", headers=headers) as response:
            assert response.status == 400
            assert "cannot be read" in (await response.json())["error"]["message"]

    within(test)


def test_models_are_listed_under_the_names_that_requests_may_use() -> None:
    async def test(door: Door) -> None:
        await door.engine("m-0/1")
        door.tell("m-0/1", others=(ModelRoutes("other", "k", []),))
        await door.ask()
        async with door.client.get(f"{door.url}/v1/models") as response:
            assert [entry["id"] for entry in (await response.json())["data"]] == ["m", "other", "inner"]
        for name, status in (("m", 200), ("inner", 200), ("x", 404)):
            async with door.client.get(f"{door.url}/v1/models/{name}") as response:
                assert response.status == status

    within(test)


def test_the_list_of_models_is_as_the_replica_has_it_now() -> None:
    async def test(door: Door) -> None:
        engine = await door.engine("m-0/1")
        door.tell("m-0/1")
        await door.ask()
        engine.model = "poet"  # an adapter, say
        for path in ("", "/poet"):
            async with door.client.get(f"{door.url}/v1/models{path}") as response:
                assert "poet" in await response.text()

    within(test)


@pytest.mark.parametrize("path", PASSED)
def test_each_path_is_passed_on_with_the_name_that_the_replica_knows(path: str) -> None:
    async def test(door: Door) -> None:
        engine = await door.engine("m-0/1")
        door.tell("m-0/1")
        status, headers, _ = await door.ask(path)
        assert status == 200, "it refuses a name that is not its own, and a key"
        assert headers["X-Rhapsody-Replica"] == "m-0"
        assert (await door.ask(path, model="inner"))[0] == 200
        assert engine.counts["done"] == 2

    within(test)


# --- answers -----------------------------------------------------------------------------------------------------


def test_an_error_of_the_replica_comes_as_it_is() -> None:
    async def test(door: Door) -> None:
        await door.engine("m-0/1")
        door.tell("m-0/1")
        status, _, answer = await door.ask(prompt="refuse")
        assert (status, answer) == (400, {"error": {"message": "a bad prompt", "type": "x", "code": 7}})

    within(test)


def test_a_stream_comes_as_the_replica_sends_it_piece_by_piece() -> None:
    async def test(door: Door) -> None:
        engine = await door.engine("m-0/1")
        door.tell("m-0/1")
        await door.ask()
        engine.token = 0.05
        asked = {**PROMPT, "stream": True, "max_tokens": 5}
        own = {"Authorization": "Bearer secret"}
        async with door.client.post(f"{door.url}/v1/completions", json=asked) as response:
            assert response.content_type == "text/event-stream"
            assert (await response.content.readany()).count(b"data:") == 1, "the first, before the others are there"
            rest = await response.read()
        async with door.client.post(
            f"{door.urls['m-0/1']}/completions", json={**asked, "model": "inner"}, headers=own
        ) as response:
            assert (await response.read()).endswith(rest)

    within(test)


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_goes_ends_its_request_at_the_replica(stream: bool) -> None:
    async def test(door: Door) -> None:
        engine = await door.engine("m-0/1")
        door.tell("m-0/1")
        await door.ask()
        engine.token = 0.02
        asking = asyncio.create_task(door.ask(max_tokens=100_000, stream=stream))
        while engine.counts["running"] == 0:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        asking.cancel()
        began = asyncio.get_running_loop().time()
        while engine.counts["aborted"] == 0:
            await asyncio.sleep(0.01)
        assert asyncio.get_running_loop().time() - began < 1
        while door.models.held():
            await asyncio.sleep(0.01)
        assert 'rhapsody_door_left_total{model="m"} 1' in door.counters.text({}, {})

    within(test)


# --- replicas that die -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("talk", [nothing, begun])
@pytest.mark.parametrize("stream", [False, True])
def test_a_request_whose_replica_dies_before_its_first_byte_is_answered_by_another(talk: Talk, stream: bool) -> None:
    async def test(door: Door) -> None:
        await door.breaker("m-0/1", talk)
        await door.engine("m-1/1")
        door.tell("m-0/1", "m-1/1")
        async with door.client.post(f"{door.url}/v1/completions", json={**PROMPT, "stream": stream}) as response:
            assert response.status == 200
            assert response.headers["X-Rhapsody-Replica"] == "m-1"
            assert b"tok" in await response.read()
        assert 'rhapsody_door_retries_total{model="m"} 1' in door.counters.text({}, {})

    within(test)


def test_a_replica_where_nobody_listens_costs_a_request_nothing() -> None:
    async def test(door: Door) -> None:
        await door.engine("m-1/1")
        door.urls["m-0/1"] = "http://127.0.0.1:1/v1"
        door.tell("m-0/1", "m-1/1")
        for _ in range(4):
            assert (await door.ask())[0] == 200

    within(test)


def test_an_error_of_a_replica_that_is_gone_a_moment_later_is_nobodys_answer() -> None:
    async def test(door: Door) -> None:
        async def dying(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\n{}")
            await writer.drain()
            asyncio.get_running_loop().call_later(0.1, door.tell, "m-1/1")

        await door.breaker("m-0/1", dying)
        await door.engine("m-1/1")
        door.tell("m-0/1", "m-1/1")
        assert (await door.ask())[0] == 200

    within(test)


def test_a_stream_that_breaks_says_so_to_its_client() -> None:
    async def test(door: Door) -> None:
        await door.breaker("m-0/1", amidst)
        await door.engine("m-1/1")
        door.tell("m-0/1")
        async with door.client.post(f"{door.url}/v1/completions", json={**PROMPT, "stream": True}) as response:
            events = (await response.read()).decode().split("\n\n")
        assert events[0] == "data: {}"
        assert json.loads(events[-2].removeprefix("data: "))["error"]["code"] == "replica_died"

    within(test)


def test_a_replica_has_answered_with_the_last_byte_and_not_with_the_first() -> None:
    async def test(door: Door) -> None:
        await door.breaker("m-0/1", amidst)
        await door.engine("m-1/7")
        door.tell("m-0/1")
        async with door.client.post(f"{door.url}/v1/completions", json={**PROMPT, "stream": True}) as response:
            await response.read()
        assert door.models.take_answered() == []
        door.tell("m-1/7")
        assert (await door.ask())[0] == 200
        assert door.models.take_answered() == ["m-1"], "by the name that it keeps"
        assert door.models.take_answered() == []

    within(test)


def test_a_request_that_kills_replicas_is_not_given_to_all_of_them() -> None:
    async def test(door: Door) -> None:
        for number in range(7):
            await door.breaker(f"m-{number}/1", nothing)
        door.tell(*door.urls)
        status, _, answer = await door.ask()
        assert status == 500
        assert "6 replicas of 'm' died under this request" in answer["error"]["message"]

    within(test)


def test_those_that_were_there_when_a_request_killed_replicas_are_answered() -> None:
    async def test(door: Door) -> None:
        async def dies(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            body = await reader.readuntil(b"}")
            if b"poison" in body:
                door.tell(next(replicas))  # nobody is there meanwhile but one that starts
                for others in talking:
                    others.transport.abort()
                talking.clear()
                return
            talking.append(writer)
            await asyncio.sleep(0.3)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
            await writer.drain()

        talking: list[asyncio.StreamWriter] = []
        for number in range(9):
            await door.breaker(f"m-0/{number}", dies)
        replicas = iter([f"m-0/{number}" for number in range(1, 9)])
        door.tell("m-0/0")
        good = [asyncio.create_task(door.ask()) for _ in range(6)]
        await asyncio.sleep(0.1)
        status, _, answer = await door.ask(prompt="poison")
        assert (status, answer["error"]["code"]) == (500, "replica_died")
        assert [(await one)[0] for one in good] == [200] * 6
        assert door.models.suspicions() == {f"m-0/{number}": 1 for number in range(6)}, "no other is to blame"

    within(test)


@pytest.mark.parametrize(("known", "answered"), [({}, True), ({"m-0/1": 1}, False)])
def test_who_saw_a_replica_die_is_under_suspicion_until_answered_and_a_riddle_when_it_leaves(
    known: dict[str, int], answered: bool
) -> None:
    async def test(door: Door) -> None:
        await door.breaker("m-0/1", nothing)
        await door.engine("m-0/2")
        door.tell("m-0/1")
        asked = asyncio.create_task(door.ask())
        while not door.models.suspicions():
            await asyncio.sleep(0.01)
        assert door.models.suspicions() == {"m-0/1": 0}
        if answered:
            door.tell("m-0/2")
            assert (await asked)[0] == 200
        else:
            asked.cancel()
        while door.models.suspicions() != known:
            await asyncio.sleep(0.01)

    within(test)


# --- none there --------------------------------------------------------------------------------------------------


def test_a_request_waits_for_a_replica_that_comes() -> None:
    async def test(door: Door) -> None:
        await door.engine("m-0/1")
        door.tell()
        asking = asyncio.create_task(door.ask())
        while not door.models.waiting():
            await asyncio.sleep(0.01)
        assert door.models.waiting() == {"m": 1}
        door.tell("m-0/1")
        assert (await asking)[0] == 200
        assert not door.models.waiting()

    within(test)


@pytest.mark.parametrize(
    ("refusal", "part"), [("", "none came within openai_wait=0.1 s"), ("it was stopped", "stopped")]
)
def test_who_waits_in_vain_is_told_when_to_come_again(refusal: str, part: str) -> None:
    async def test(door: Door) -> None:
        door.tell(refusal=refusal)
        status, headers, answer = await door.ask()
        assert (status, headers["Retry-After"]) == (503, "5")
        assert part in answer["error"]["message"]

    within(test, wait=0.1)


def test_a_session_stays_with_its_replica() -> None:
    async def test(door: Door) -> None:
        engines = [await door.engine(f"m-{number}/1") for number in range(3)]
        door.tell(*door.urls)
        for _ in range(9):
            async with door.client.post(
                f"{door.url}/v1/completions", json=PROMPT, headers={SESSION_HEADER: "s"}
            ) as response:
                assert response.status == 200
        assert sorted(engine.counts["done"] for engine in engines) == [0, 0, 9]

    within(test)
