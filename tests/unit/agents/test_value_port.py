"""Values go from one host to the other: whole, to those who have the key, and not at all otherwise."""

import asyncio
import contextlib
import fcntl
import importlib.abc
import io
import itertools
import math
import os
import resource
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from errno import EMFILE
from pathlib import Path

import msgspec
import pytest

from rhapsody_parsl.agents import value_fetch, value_port
from rhapsody_parsl.agents.value_port import ValuePort
from rhapsody_parsl.agents.words import NOT_THERE, UNREACHABLE
from rhapsody_parsl.hosts.data_files import DataFiles, Place
from rhapsody_parsl.wire.encrypted import Encrypted
from testing.ports import free_port
from tests.unit.agents.between import HERE, Between

WORD = b"of the block"
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
        gives, has = (ValuePort(files, HERE, WORD, HERE) for files in (one, other))
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


def test_nothing_waits_while_a_worker_makes_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for each in (value_fetch, value_port):
        monkeypatch.setattr(each, "SILENCE", 0.4)
    turns = list[float]()

    async def beat() -> None:
        while True:
            turns.append(time.monotonic())
            await asyncio.sleep(0.01)

    async def story(gives: ValuePort, has: ValuePort, _: DataFiles, files: DataFiles) -> None:
        with open(tmp_path / "other" / "memory" / ".lock", "wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            timer = threading.Timer(1.0, fcntl.flock, (lock, fcntl.LOCK_UN))
            timer.start()
            beats = asyncio.create_task(beat())
            assert await fetched(has, "v", gives.open()) == ""
            timer.join()
        beats.cancel()
        assert bytes(files.open("v")) == VALUE

    between(tmp_path, story)
    assert turns[-1] - turns[0] >= 0.9
    assert max(after - before for before, after in itertools.pairwise(turns)) < 0.5


def test_who_has_no_descriptor_left_gives_it_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, left = DataFiles.opened, [OSError(EMFILE, "too many open files")]

    def open_(files: DataFiles, key: str) -> io.FileIO:
        if left:
            raise left.pop()
        return opened(files, key)

    async def story(gives: ValuePort, has: ValuePort, _: DataFiles, files: DataFiles) -> None:
        monkeypatch.setattr(DataFiles, "opened", open_)
        assert await fetched(has, "v", gives.open()) == ""
        assert bytes(files.open("v")) == VALUE

    between(tmp_path, story)
    assert not left


@pytest.mark.parametrize("why", ["nobody", "stranger"])
def test_without_a_way_or_the_key_nothing_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    monkeypatch.setattr(value_fetch, "SILENCE", 0.5)

    async def story(gives: ValuePort, _: ValuePort, __: DataFiles, files: DataFiles) -> None:
        stranger = ValuePort(files, HERE, b"of another", HERE)
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


def test_one_that_is_dropped_on_its_way_comes_whole(tmp_path: Path) -> None:
    """Whoever wants it no more says so."""

    async def story(gives: ValuePort, has: ValuePort, source: DataFiles, files: DataFiles) -> None:
        done: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        has.fetch("v", gives.open(), done.set_result)
        while not [*tmp_path.glob("other/*/0/*")]:
            await asyncio.sleep(0)
        source.drop("v")
        source.write("w", [bytes(len(VALUE))])
        assert await done == ""
        assert bytes(files.open("v")) == VALUE

    between(tmp_path, story)


@pytest.mark.parametrize("room", ["on disk", "nowhere"])
def test_where_memory_has_no_room_in_spite_of_its_budget_it_comes_to_the_disk(tmp_path: Path, room: str) -> None:
    """It is not given on then: of what is given so far the rest does not come."""

    async def story(gives: ValuePort, has: ValuePort, _: DataFiles, files: DataFiles) -> None:
        done: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        files.write("dropped", [bytes(len(VALUE))])
        files.drop("dropped")  # its file serves the next one
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(VALUE) // 2, limits[1]))
        try:
            has.fetch("v", gives.open(), done.set_result)
            while not [*tmp_path.glob("other/memory/0/*")]:
                await asyncio.sleep(0)
            third = ValuePort(files_in(tmp_path / "third"), HERE, WORD, HERE)
            given_on = asyncio.create_task(fetched(third, "v", has.open()))
            while [*tmp_path.glob("other/memory/0/*")]:
                await asyncio.sleep(0)
            assert await given_on == NOT_THERE
            assert not done.done(), "it has it from others meanwhile"
            if room == "on disk":
                resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            problem = await done
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert (problem == "", files.has("v"), files.in_memory()) == (room == "on disk", room == "on disk", 0)
        assert problem in ("", "[Errno 27] File too large")

    between(tmp_path, story)


@pytest.mark.parametrize(("most", "asleep"), [(len(VALUE) // 2, 0.0), (1 << 16, 2.0)])
def test_a_connection_that_is_cut_or_falls_asleep_is_made_again_and_the_rest_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int, asleep: float
) -> None:
    """Who gives holds no more than a piece for one that was frozen or has vanished."""
    monkeypatch.setattr(value_port, "SILENCE", 0.3)

    async def story(gives: ValuePort, has: ValuePort, _: DataFiles, files: DataFiles) -> None:
        between = Between(gives, most, asleep)
        async with between as address:
            fetches = asyncio.create_task(fetched(has, "v", address))
            await asyncio.sleep(1.2 if asleep else 0)
            assert not asleep or "give a value" not in {task.get_name() for task in asyncio.all_tasks()}
            assert await fetches == ""
        assert bytes(files.open("v")) == VALUE
        first, *again = between.passed  # a busy machine may fall silent once more
        assert most <= first < most + (1 << 16)
        assert 0 < sum(again) < len(VALUE) - most + len(again) * 3 * (1 << 20)

    between(tmp_path, story)


def test_a_connection_by_which_nothing_comes_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(value_fetch, "_AGAIN", 0.3)

    async def story(gives: ValuePort, has: ValuePort, _: DataFiles, files: DataFiles) -> None:
        async with Between(gives, 1 << 16, asleep=3) as address:
            assert await asyncio.wait_for(fetched(has, "v", address), 2) == ""
        assert bytes(files.open("v")) == VALUE

    between(tmp_path, story)


def test_by_a_slow_link_each_piece_comes_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(value_fetch, "_AGAIN", 0.3)
    large = VALUE[: 3 << 19]

    async def story(gives: ValuePort, has: ValuePort, source: DataFiles, files: DataFiles) -> None:
        source.write("large", [large])
        async with Between(gives, math.inf, 0.0, pause=0.06) as address:
            assert await fetched(has, "large", address) == ""
        assert bytes(files.open("large")) == large

    between(tmp_path, story)


@pytest.mark.parametrize("how", ["comes", "is dropped", "stays away"])
def test_what_has_come_is_given_on_while_the_rest_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """And where it does not come, who waits for it is told to have it from others."""
    monkeypatch.setattr(value_fetch, "_PATIENCE", 2.0 if how == "comes" else 0.4)
    half = len(VALUE) // 2

    async def story(gives: ValuePort, has: ValuePort, _: DataFiles, files: DataFiles) -> None:
        third = files_in(tmp_path / "third")
        port = ValuePort(third, HERE, WORD, HERE)
        async with Between(gives, half, 1.0) as address:
            first = asyncio.create_task(fetched(has, "v", address))
            await asyncio.sleep(0)
            second = asyncio.create_task(fetched(port, "v", has.open()))
            while sum(path.stat().st_blocks for path in tmp_path.glob("third/memory/0/*")) * 512 < half - (1 << 20):
                await asyncio.sleep(0.01)
            assert not files.has("v")
            if how == "is dropped":
                has.drop(["v"])
                first.cancel()
            assert await second == ("" if how == "comes" else NOT_THERE)
            assert await asyncio.wait_for(first, 10) == "" if how != "is dropped" else not files.has("v")
        assert third.has("v") == (how == "comes")
        assert how != "comes" or bytes(third.open("v")) == VALUE
        port.close()

    between(tmp_path, story)


@pytest.mark.parametrize("said", [b"GET / HTTP/1.1\r\n\r\n".ljust(100), os.urandom(100), os.urandom(10_000)])
def test_who_says_anything_else_is_cut_off(tmp_path: Path, caplog: pytest.LogCaptureFixture, said: bytes) -> None:
    async def story(gives: ValuePort, has: ValuePort, _: DataFiles, files: DataFiles) -> None:
        reader, writer = await asyncio.open_connection(HERE, gives.open().rpartition(":")[2])
        writer.write(said)
        with contextlib.suppress(ConnectionResetError):
            assert len(await reader.read()) == 32, "all that a stranger hears"
        writer.close()
        assert await fetched(has, "v", gives.open()) == ""

    between(tmp_path, story)
    assert "a stranger on 127.0.0.1:" in caplog.text


@pytest.mark.parametrize(("size", "pieces"), [(0, []), (10, [b"x" * 20]), (10, [b"x" * 6, b"x" * 6])])
def test_a_value_that_is_not_what_was_said_is_none(tmp_path: Path, size: int, pieces: list[bytes]) -> None:
    async def gives_it(listener: socket.socket) -> None:
        connection, _ = await asyncio.get_running_loop().sock_accept(listener)
        with connection:
            way = await Encrypted.over(connection, WORD, accepted=True)
            assert msgspec.msgpack.decode(await way.receive()) == ["v", 0]
            for said in (msgspec.msgpack.encode(size), *pieces):
                await way.send(said)

    async def story(_: ValuePort, has: ValuePort, __: DataFiles, files: DataFiles) -> None:
        with socket.create_server((HERE, 0)) as listener:
            listener.setblocking(False)
            giver = asyncio.create_task(gives_it(listener))
            assert await fetched(has, "v", f"{HERE}:{listener.getsockname()[1]}") == NOT_THERE
            await giver
        assert not files.has("v")

    between(tmp_path, story)


class Slow(importlib.abc.MetaPathFinder):
    """What encrypts takes long to load."""

    def find_spec(self, name: str, *_: object) -> None:
        if name == Encrypted.__module__:
            time.sleep(0.6)


def test_while_what_encrypts_is_loaded_no_clock_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (value_fetch, value_port):
        monkeypatch.setattr(module, "SILENCE", 0.5)
    monkeypatch.setattr(sys, "meta_path", [Slow(), *sys.meta_path])

    async def story(gives: ValuePort, has: ValuePort, _: DataFiles, __: DataFiles) -> None:
        for begin in (gives.open, lambda: None):
            monkeypatch.delitem(sys.modules, Encrypted.__module__)
            begin()
            assert await fetched(has, "v", gives.open()) == ""

    between(tmp_path, story)


def test_where_nothing_encrypts_who_wants_a_value_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, Encrypted.__module__, None)

    async def story(gives: ValuePort, has: ValuePort, _: DataFiles, __: DataFiles) -> None:
        assert Encrypted.__module__ in await fetched(has, "v", gives.open())

    between(tmp_path, story)


@pytest.mark.parametrize("key", ["../../disk/private", "", "..", "a\0b", "{folder}/one/disk/private"])
def test_nothing_but_values_is_given(tmp_path: Path, key: str) -> None:
    async def story(gives: ValuePort, has: ValuePort, _: DataFiles, __: DataFiles) -> None:
        (tmp_path / "one/disk/private").write_bytes(b"secret")
        with socket.socket() as connection:
            connection.setblocking(False)
            await asyncio.get_running_loop().sock_connect(connection, (HERE, int(gives.open().rpartition(":")[2])))
            way = await Encrypted.over(connection, WORD, accepted=False)
            await way.send(msgspec.msgpack.encode([key.format(folder=tmp_path), 0]))
            assert msgspec.msgpack.decode(await way.receive()) == -1

    between(tmp_path, story)


@pytest.mark.parametrize("said", [b"", b"\x92\xa2\xff\xfe\x00", b"\x92\xa1v\xa1v"])
def test_one_of_ours_that_says_what_nobody_understands_is_cut_off(tmp_path: Path, said: bytes) -> None:
    """And nothing else comes of it: what a task of the event loop raises ends the block."""

    async def story(gives: ValuePort, has: ValuePort, _: DataFiles, __: DataFiles) -> None:
        problems: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
        with socket.socket() as connection:
            connection.setblocking(False)
            await asyncio.get_running_loop().sock_connect(connection, (HERE, int(gives.open().rpartition(":")[2])))
            way = await Encrypted.over(connection, WORD, accepted=False)
            await way.send(said)
            with pytest.raises(ConnectionResetError):
                await way.receive()
        assert await fetched(has, "v", gives.open()) == ""
        assert problems == []

    between(tmp_path, story)


def test_of_many_that_say_nothing_the_oldest_goes_for_the_next(tmp_path: Path) -> None:
    async def story(gives: ValuePort, has: ValuePort, _: DataFiles, __: DataFiles) -> None:
        port, most = int(gives.open().rpartition(":")[2]), value_port._MOST_SILENT
        silent = [await asyncio.open_connection(HERE, port) for _ in range(most + 3)]
        assert await fetched(has, "v", gives.open()) == ""
        lefts = [asyncio.create_task(reader.read()) for reader, _ in silent]
        done = (await asyncio.wait(lefts, timeout=1))[0]
        assert done == set(lefts[:4]), "for the three, and for who had the value"
        for writer in (writer for _, writer in silent):
            writer.close()
        await asyncio.wait(lefts)

    between(tmp_path, story)
