import asyncio

import pytest

from rhapsody_parsl.in_block.gpu_memory import GpuMemory
from rhapsody_parsl.services.gpus_free import seen_free
from rhapsody_parsl.wire.leases import Share

ONE = [Share("n0", (), (0,))]


def test_gpus_are_waited_for_until_they_are_seen_free_and_no_longer() -> None:
    memory = GpuMemory()

    async def run() -> None:
        assert await seen_free(memory, ONE, what="s"), "nobody tells"
        memory.note("n0", [0.0])
        memory.note("n0", [40.0])
        waiting = asyncio.create_task(seen_free(memory, ONE, what="s"))
        await asyncio.sleep(0)
        assert not waiting.done()
        memory.note("n0", [0.3])
        assert await asyncio.wait_for(waiting, 20)

    asyncio.run(run())


def test_what_never_gets_free_is_told_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    memory = GpuMemory()
    memory.note("n0", [0.0])
    memory.note("n0", [40.0])
    assert not asyncio.run(seen_free(memory, ONE, what="service s-0", within=0.01))
    assert "GPUs that service s-0 had are still in use 0.01 s later: n0:0 (40 GB)" in caplog.text
