"""Values that come in messages: written while the event loop goes on."""

import asyncio
import fcntl
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from rhapsody_parsl.agents.host_values import HostValues
from rhapsody_parsl.agents.value_port import ValuePort
from rhapsody_parsl.agents.words import DropValues, KeepValues, ValueFetched
from rhapsody_parsl.hosts import data_place
from rhapsody_parsl.hosts.data_files import DataFiles, Place
from rhapsody_parsl.hosts.incoming import _DROPPED, Incoming


@pytest.fixture
def files(tmp_path: Path) -> DataFiles:
    return DataFiles(Place("token", str(tmp_path / "memory"), str(tmp_path / "disk"), "0", 1000))


@contextmanager
def at_the_disk(folder: Path) -> Iterator[None]:
    """Be a process of the host that makes room, and takes long for it."""
    with (folder / ".lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


async def soon(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


def run(story: Callable[[], Awaitable[None]]) -> None:
    async def all_() -> None:
        async with asyncio.timeout(20):
            await story()

    asyncio.run(all_())


def test_a_node_agent_goes_on_while_there_is_no_room_for_a_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_place, "_MEMORY", str(tmp_path))
    private = tmp_path / "private"
    private.mkdir()
    said: list[Any] = []

    async def story() -> None:
        port = cast(ValuePort, Incoming(cast(DataFiles, None)))  # nobody fetches here; it is told what is dropped
        values = HostValues(str(private), lambda _: port, lambda word, _: said.append(word))
        values.take("1", [b"early", b"content"])
        values.obey(KeepValues("token", "0", 1000, "0"))
        memory = Path(data_place.memory_of(str(private)))
        with at_the_disk(memory):
            for number, key in enumerate((b"kept", b"dropped"), 2):
                values.take(str(number), [key, b"con", b"tent"])
            await asyncio.sleep(0.05)
            values.obey(DropValues(["dropped"]))
            assert said == [ValueFetched(1, "there is no place for values")]
        await soon(lambda: len(said) > 2)
        assert sorted(said[1:], key=lambda word: word.number) == [ValueFetched(2, ""), ValueFetched(3, _DROPPED)]
        assert (memory / "data" / "kept").read_bytes() == b"content"
        assert os.listdir(memory / "data") == ["kept"]

    run(story)
    data_place.close(str(private))


def test_what_is_dropped_and_comes_again_is_there(tmp_path: Path, files: DataFiles) -> None:
    done: list[str] = []

    async def story() -> None:
        incoming = Incoming(files)
        with at_the_disk(tmp_path / "memory"):
            incoming.write("key", [b"first"], done.append)
            await asyncio.sleep(0.05)
            incoming.drop(["key", "none"])
            incoming.write("key", [b"second"], done.append)
        await soon(lambda: len(done) > 1)
        assert done == [_DROPPED, ""]
        assert bytes(files.open("key")) == b"second"
        assert not incoming._coming
        assert not incoming._dropped
        incoming.write("key/none", [b""], done.append)
        await soon(lambda: len(done) > 2)
        assert "No such file" in done[2]

    run(story)
