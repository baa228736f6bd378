import asyncio

import pytest

from rhapsody_parsl.agents.remote_process import RemoteProcess
from rhapsody_parsl.agents.words import Kill, Release


def test_what_is_to_end_is_told_by_its_number() -> None:
    said: list[Release | Kill] = []
    process = RemoteProcess(7, said.append)
    process.release()
    process.kill()
    assert said == [Release(7), Kill(7)]


def test_an_end_is_told_once_and_never_within_what_noted_it() -> None:
    ended: list[str] = []

    async def story() -> None:
        process = RemoteProcess(1, lambda _: None, "w", lambda process: ended.append(process.reason))
        waiting = asyncio.create_task(process.wait())
        await asyncio.sleep(0)
        process.ended(3, "first", {"w": 9})
        process.ended(4, "second")
        assert not ended
        assert await waiting == 3
        assert await process.wait() == 3
        await asyncio.sleep(0)
        assert (ended, process.begun, process.waits) == (["first"], {"w": 9}, False)

    asyncio.run(story())


@pytest.mark.parametrize("waits", [True, False])
def test_a_process_without_an_ear_ends_too(waits: bool) -> None:
    async def story() -> int:
        process = RemoteProcess(1, lambda _: None)
        if not waits:
            process.ended(0)
        asyncio.get_running_loop().call_soon(process.ended, 0)
        return await process.wait()

    assert asyncio.run(story()) == 0
