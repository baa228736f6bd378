"""Values between the pilot's host and another one, with a real node agent there."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from rhapsody_parsl.agents.host import Host
from rhapsody_parsl.agents.words import UNREACHABLE, KeepValues
from rhapsody_parsl.hosts import data_place
from rhapsody_parsl.hosts.data_files import DataFiles, Place
from rhapsody_parsl.pilot.movers import Movers
from tests.unit.agents.there import with_host

VALUE = os.urandom(1_000_003) * 5
Heard = list[tuple[str, Any, str]]


def moving(folder: Path, story: Callable[[Host, Movers, DataFiles, Heard, Heard], Awaitable[None]]) -> None:
    """Have a host, who moves values, those here, and what arrived and what lacked."""
    shared = folder / "here"
    (shared / "disk").mkdir(parents=True)
    files = DataFiles(Place("token", str(shared), str(shared / "disk"), "0", 100_000_000))

    async def run(host: Host) -> None:
        arrived, lacking = Heard(), Heard()
        movers = Movers(
            files, [host], lambda *all_: arrived.append(all_), lambda key, where: lacking.append((key, where, ""))
        )
        host.keep_values(KeepValues("token", "0", 100_000_000, "0"), movers.told)
        try:
            await story(host, movers, files, arrived, lacking)
        finally:
            movers.close()
            movers.close()

    with_host(folder / "private", run)


async def soon(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("reach", [True, False])
def test_a_value_goes_there_and_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reach: bool) -> None:
    """Without a way between the two it goes over the agent's line."""

    async def story(host: Host, movers: Movers, files: DataFiles, arrived: Heard, lacking: Heard) -> None:
        if not reach:
            monkeypatch.setattr(movers._moves, "_apart", {frozenset((None, host))})
        files.write("v", [VALUE])
        movers.want("v", host)
        await soon(lambda: arrived)
        assert arrived == [("v", host, "")]
        assert (movers._own is None) is not reach
        files.drop("v")
        movers.want("v", None)
        await soon(lambda: len(arrived) > 1)
        assert (arrived[1:], bytes(files.open("v"))) == ([("v", None, "")], VALUE)
        memory = Path(data_place.memory_of(str(tmp_path / "private")), "data")
        assert os.listdir(memory) == ["v"]
        movers.forget({each: ["v"] for each in movers.drop("v")})
        await soon(lambda: not os.listdir(memory))
        movers.want("none", None)
        assert lacking == [("none", None, "")]

    moving(tmp_path, story)


def test_what_a_host_was_said_to_have_is_lacking(tmp_path: Path) -> None:
    async def story(host: Host, movers: Movers, _: DataFiles, arrived: Heard, lacking: Heard) -> None:
        for key, apart in (("one", set()), ("other", {frozenset((None, host))})):
            movers._moves._apart = apart
            movers.has(key, host)
            movers.want(key, None)
        await soon(lambda: len(lacking) > 1)
        assert (sorted(key for key, _, _ in lacking), arrived) == (["one", "other"], [])

    moving(tmp_path, story)


def test_an_address_that_is_not_reached_is_gone_round(tmp_path: Path) -> None:
    async def story(host: Host, movers: Movers, files: DataFiles, arrived: Heard, _: Heard) -> None:
        files.write("v", [VALUE])
        movers.want("v", host)
        await soon(lambda: arrived)
        files.drop("v")
        movers._addresses[host] = "tcp://127.0.0.1:1"
        movers.want("v", None)
        (number,) = movers._moves._under_way
        movers._ended(number, UNREACHABLE)
        await soon(lambda: len(arrived) > 1)
        assert bytes(files.open("v")) == VALUE

    moving(tmp_path, story)
