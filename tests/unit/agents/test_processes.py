"""Processes as a node agent starts them, each below a real guard."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from rhapsody_parsl.agents import processes as processes_module
from rhapsody_parsl.agents.processes import Processes
from rhapsody_parsl.agents.words import Begun, Ended, Start
from rhapsody_parsl.hosts.pace import Pace
from testing import leaks


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    with leaks.watch(5.0):
        yield


class Told:
    """Processes of a host that starts two at once, and what was told of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.begun: list[int] = []
        self.ended: list[Ended] = []
        self._held = os.open(folder, os.O_RDONLY)
        self.processes = Processes(self._take, self._held)
        self.processes.environment = os.environ

    def _take(self, word: Begun | Ended) -> None:
        if isinstance(word, Begun):
            self.begun.append(word.number)
        else:
            self.ended.append(word)

    def start(self, number: int, *command: str, name: str = "", cwd: str = "/") -> None:
        argv = ["--lifeline", "--grace", "0.2", "--", *command]
        self.processes.start(Start(number, argv, {}, {}, "", str(self._folder / "log"), cwd, name))

    def close(self) -> None:
        self.processes.close()
        os.close(self._held)

    async def until_ended(self, count: int) -> None:
        async with asyncio.timeout(20):
            while len(self.ended) < count:
                await asyncio.sleep(0.01)


def told(folder: Path, monkeypatch: pytest.MonkeyPatch, act: Callable[[Told], Awaitable[None]]) -> None:
    monkeypatch.setattr(processes_module, "Pace", lambda: Pace(2))

    async def run() -> None:
        told = Told(folder)
        try:
            await act(told)
        finally:
            told.close()

    asyncio.run(run())


def test_those_that_will_speak_start_when_others_are_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def act(told: Told) -> None:
        for number in range(5):
            told.start(number, "sleep", "100", name=f"w{number}")
        told.start(9, "sleep", "100")
        assert told.begun == [0, 1, 9]
        told.processes.up("w1")
        assert told.begun == [0, 1, 9, 2]
        told.processes.release(3)
        assert told.ended == [Ended(3, 0)]
        told.processes.release(0)
        await told.until_ended(2)
        assert told.begun == [0, 1, 9, 2, 4]

    told(tmp_path, monkeypatch, act)


def test_one_that_cannot_start_gives_its_place_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def act(told: Told) -> None:
        for number in range(4):
            told.start(number, "true", name=f"w{number}", cwd="/not there")
        await told.until_ended(4)
        assert all("not there" in ended.why for ended in told.ended)

    told(tmp_path, monkeypatch, act)
