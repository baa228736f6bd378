"""A door whose process is frozen: it is killed, and another one is at its address."""

import asyncio
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from rhapsody_parsl.door import keeper
from rhapsody_parsl.wire.door import DoorVisits
from testing.processes import processes_of
from tests.unit.door.test_keeper import Kept, within

PROCESS = "rhapsody_parsl.door.process"


@pytest.fixture
def folder() -> Iterator[Path]:
    """Sockets in it have long names."""
    with tempfile.TemporaryDirectory(prefix="door") as path:
        yield Path(path)


async def until(met: Callable[[], Any]) -> Any:
    async with asyncio.timeout(30):
        while not (found := met()):
            await asyncio.sleep(0.02)
        return found


def test_a_frozen_door_is_killed_and_its_clients_are_let_go(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "_MOST_SILENT", 3)

    async def run() -> None:
        kept = Kept(folder, None)
        kept.block._changed()
        url = f"http://127.0.0.1:{kept.door.port}/health"
        try:
            async with aiohttp.ClientSession() as client:
                await until(lambda: kept.door._heard)
                assert (await client.get(url)).status == 200
                (frozen,) = processes_of(PROCESS)
                frozen.send_signal(signal.SIGSTOP)
                with pytest.raises(aiohttp.ClientConnectionError):
                    async with asyncio.timeout(20):
                        await client.get(url)
                await until(lambda: not frozen.is_running())
                await until(lambda: processes_of(PROCESS) and kept.door._heard)
                assert (await client.get(url)).status == 200
        finally:
            await kept.door.stop()

    asyncio.run(run())


def test_a_door_is_not_silent_because_nobody_listened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given_up: list[str] = []

    class Process:
        def give_up(self, reason: str) -> None:
            given_up.append(reason)

    monkeypatch.setattr(keeper, "_MOST_SILENT", 3)
    monkeypatch.setattr(keeper, "PULSE", 0.05)

    async def test(kept: Kept) -> None:
        kept.open()
        watching = asyncio.create_task(kept.door._watch(Process()))  # type: ignore[arg-type]  # all that it needs
        for _ in range(4):
            await asyncio.sleep(0.01)
            time.sleep(0.2)  # this process is stopped, for longer than a door may be silent
            kept.door._receive("door/1", DoorVisits(1, {}, {}))
        assert not given_up
        await watching
        assert given_up == ["its process showed no sign of life within 0.15 s"]

    within(tmp_path, monkeypatch, test)
