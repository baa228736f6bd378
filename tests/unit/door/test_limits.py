"""Keys beside the block's own, over HTTP."""

import asyncio
import json
from typing import Any

from rhapsody_parsl.wire.door import DoorKey, hash_of
from tests.unit.door.standing import PROMPT, Door, within


def test_a_key_has_limits_that_are_refused_as_openai_refuses() -> None:
    async def test(door: Door) -> None:
        engine = await door.engine("m-0/1")
        door.tell("m-0/1")
        door.keys.update([DoorKey("ann", hash_of("hers"), requests_per_minute=3, concurrency=1)])
        headers = {"Authorization": "Bearer hers"}

        async def ask(**changes: Any) -> tuple[int, str, str]:
            body = {**PROMPT, **changes}
            async with door.client.post(f"{door.url}/v1/completions", json=body, headers=headers) as response:
                return response.status, response.headers.get("Retry-After", ""), await response.text()

        engine.token = 0.2
        stream = asyncio.create_task(ask(stream=True, max_tokens=5))
        while not engine.counts["running"]:
            await asyncio.sleep(0.01)
        status, after, text = await ask()
        assert (status, after) == (429, "1")
        assert json.loads(text)["error"]["code"] == "rate_limit_exceeded"
        assert "concurrency=1" in text
        assert (await stream)[0] == 200
        told = door.visits.take({}, {}, at_once=True)
        assert told
        assert {(each.service, each.end) for each in told.ended} == {("m", "done"), ("m", "refused")}
        assert [(await ask())[0] for _ in range(2)] == [200, 200]
        status, after, _ = await ask()
        assert status == 429
        assert 1 <= int(after) <= 60
        async with door.client.get(f"{door.url}/v1/models", headers=headers) as response:
            assert response.status == 200, "a look at the models counts as no request"
        assert (await door.ask())[0] == 200, "the block's own key has no limits"
        door.keys.update([])
        assert (await ask())[0] == 401

    within(test)


def test_a_key_that_comes_a_moment_after_its_owner_is_taken() -> None:
    async def test(door: Door) -> None:
        await door.engine("m-0/1")
        door.tell("m-0/1")
        headers = {"Authorization": "Bearer hers"}
        asking = asyncio.create_task(door.ask(headers=headers))
        await asyncio.sleep(0.05)
        door.keys.update([DoorKey("ann", hash_of("hers"))])
        door.models.wake()
        assert (await asking)[0] == 200

    within(test)
