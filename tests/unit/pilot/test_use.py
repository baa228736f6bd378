import asyncio
from types import SimpleNamespace
from typing import Any

from rhapsody_parsl.hosts.use import HostUse
from rhapsody_parsl.in_block.gpu_memory import GpuMemory
from rhapsody_parsl.pilot.use import BlockUse
from rhapsody_parsl.wire.leases import Share
from rhapsody_parsl.wire.use import GpuUse, NodeUse, Used
from testing.nodes import make_node


def test_only_what_has_changed_is_told(monkeypatch: Any) -> None:
    other: Any = SimpleNamespace(use=HostUse(0.5, 3.0, ((0.25, 1.0),)))

    memory = GpuMemory()

    async def run() -> None:
        use = BlockUse([make_node("n0"), make_node("n1", gpus=1)], {"n1": other}, lambda _: None, memory)
        try:
            first = use.look()
            assert first["n1"] == NodeUse(cpu=0.5, memory=3.0, gpus=(GpuUse(busy=0.25, memory=1.0),))
            assert first["n0"].memory > 0, "our own host"
            assert "n1" not in use.look()
            other.use = HostUse(0.5, 3.0, ((0.25, 7.5),))
            assert "n1" in use.look()
            assert memory.held([Share("n1", (), (0,))]) == {"n1:0": 7.5}
            other.use = HostUse()  # as of a host that is lost
            assert use.look()["n1"] == NodeUse()
        finally:
            use.close()

    asyncio.run(run())


def test_it_is_told_from_time_to_time() -> None:
    other: Any = SimpleNamespace(use=HostUse(0.5, 3.0))
    told: list[Used] = []

    async def run() -> None:
        use = BlockUse([make_node("n1")], {"n1": other}, told.append, GpuMemory(), period=0.01)
        serving = asyncio.create_task(use.serve())
        async with asyncio.timeout(20):
            while len(told) < 2:
                await asyncio.sleep(0.01)
                if told:
                    other.use = HostUse(0.75, 3.0)
        serving.cancel()
        use.close()

    asyncio.run(run())
    assert [(each.nodes["n1"].cpu, each.seconds) for each in told[:2]] == [(0.5, 0.01), (0.75, 0.01)]
