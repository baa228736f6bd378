"""Values go from one host to the other: whole, to those who have the key, and not at all otherwise."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from rhapsody_parsl.agents import value_port
from rhapsody_parsl.agents.value_port import ValuePort
from rhapsody_parsl.agents.words import NOT_THERE, UNREACHABLE
from rhapsody_parsl.hosts.data_files import DataFiles, Place
from rhapsody_parsl.wire.curve import Keys
from testing.ports import free_port

HERE = "tcp://127.0.0.1"
VALUE = os.urandom(1_000_003) * 12


def files_in(folder: Path, budget: int = 100_000_000) -> DataFiles:
    for name in ("memory", "disk"):
        (folder / name).mkdir(parents=True)
    return DataFiles(Place("token", str(folder / "memory"), str(folder / "disk"), "0", budget))


def between(
    folder: Path,
    story: Callable[[ValuePort, ValuePort, DataFiles, DataFiles], Awaitable[None]],
    budget: int = 100_000_000,
) -> None:
    """Have a port with a value, another one, and the files of both; nothing half written may be left."""
    one, other = files_in(folder / "one"), files_in(folder / "other", budget)
    one.write("v", [VALUE])

    async def run() -> None:
        keys = Keys.fresh()
        gives, has = (ValuePort(files, "127.0.0.1", keys, HERE) for files in (one, other))
        try:
            async with asyncio.timeout(20):
                await story(gives, has, one, other)
        finally:
            for port in (gives, has, has):
                port.close()

    asyncio.run(run())
    assert not [*folder.glob("*/*/0/*")]


async def fetched(port: ValuePort, key: str, address: str) -> str:
    done: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    port.fetch(key, address, done.set_result)
    return await done


def test_a_value_comes_whole(tmp_path: Path) -> None:
    async def story(gives: ValuePort, has: ValuePort, _: DataFiles, files: DataFiles) -> None:
        assert gives.open() == gives.open()
        assert await fetched(has, "v", gives.open()) == ""
        assert bytes(files.open("v")) == VALUE
        assert await fetched(has, "none", gives.open()) == NOT_THERE

    between(tmp_path, story)


def test_one_that_is_larger_than_the_memory_goes_to_the_disk(tmp_path: Path) -> None:
    async def story(gives: ValuePort, has: ValuePort, _: DataFiles, files: DataFiles) -> None:
        assert await fetched(has, "v", gives.open()) == ""
        assert (files.in_memory(), bytes(files.open("v"))) == (0, VALUE)

    between(tmp_path, story, budget=1000)


@pytest.mark.parametrize("why", ["nobody", "stranger"])
def test_without_a_way_or_the_key_nothing_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    monkeypatch.setattr(value_port, "_SILENCE", 0.5)

    async def story(gives: ValuePort, _: ValuePort, __: DataFiles, files: DataFiles) -> None:
        stranger = ValuePort(files, "127.0.0.1", Keys.fresh(), HERE)
        address = gives.open() if why == "stranger" else f"{HERE}:{free_port()}"
        assert await fetched(stranger, "v", address) == UNREACHABLE
        assert not files.has("v")
        stranger.close()

    between(tmp_path, story)


def test_what_nobody_needs_any_more_comes_no_further(tmp_path: Path) -> None:
    async def story(gives: ValuePort, has: ValuePort, _: DataFiles, files: DataFiles) -> None:
        called: list[str] = []
        has.fetch("v", gives.open(), called.append)
        while not [*tmp_path.glob("other/*/0/*")]:
            await asyncio.sleep(0)
        has.drop(["v"])
        assert await fetched(has, "none", gives.open()) == NOT_THERE
        assert (called, files.has("v")) == ([], False)

    between(tmp_path, story)


def test_one_that_goes_on_its_way_is_not_there(tmp_path: Path) -> None:
    async def story(gives: ValuePort, has: ValuePort, source: DataFiles, files: DataFiles) -> None:
        done: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        has.fetch("v", gives.open(), done.set_result)
        while not [*tmp_path.glob("other/*/0/*")]:
            await asyncio.sleep(0)
        source.drop("v")
        assert await done == NOT_THERE
        assert not files.has("v")

    between(tmp_path, story)
