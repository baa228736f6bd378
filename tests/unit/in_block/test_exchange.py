"""A runtime's conversation with the processes of the pilot's own host."""

import asyncio
from pathlib import Path

from rhapsody_parsl.in_block.exchange import Exchange
from rhapsody_parsl.wire.channel import Spoke
from rhapsody_parsl.wire.messages import Exited, Returned
from testing.nodes import make_context, make_node


def test_what_is_said_after_others_comes_after_all_they_said(tmp_path: Path) -> None:
    async def run() -> None:
        said: list[str] = []
        context = make_context(tmp_path, None, make_node("n0"))
        workers = Exchange(context, "workers", lambda peer, _: said.append(peer))
        heads = Exchange(context, "heads", lambda peer, _: said.append(peer), after=workers)
        workers.start()
        heads.start()
        head = Spoke(heads.endpoint, "head")
        head.send(Exited("w0", "why"))
        async with asyncio.timeout(5):
            while not said:
                await asyncio.sleep(0.01)
        worker = Spoke(workers.endpoint, "w1")
        worker.send(Returned(1, []))
        worker.close()
        head.send(Exited("w1", "why"))
        async with asyncio.timeout(5):
            while len(said) < 3:
                await asyncio.sleep(0.01)
        assert said == ["head", "w1", "head"]
        head.close()
        heads.stop()
        workers.stop()

    asyncio.run(run())
