"""What the pilot does for values: where they lie, what it brings, and what it removes."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rhapsody_parsl.agents.words import DropValues as AgentsDrop
from rhapsody_parsl.agents.words import GiveValues, KeepValues
from rhapsody_parsl.config import BlockConfig, LocalRuntime
from rhapsody_parsl.hosts import data_place
from rhapsody_parsl.hosts.data_files import Place
from rhapsody_parsl.pilot import values
from rhapsody_parsl.pilot.values import Values
from rhapsody_parsl.wire.child_messages import CancelChildren
from rhapsody_parsl.wire.value_messages import AskValue, Copied, DropValues, ValueHere, ValueLeft, ValuesCame, WantValue


class Noted:
    """A host, a process, and the driver, which note what they are told."""

    def __init__(self) -> None:
        self.said: list[Any] = []
        self.host: Any = None

    name, listener = "other", None

    def send(self, message: Any, *_: Any) -> None:
        self.said.append(message)

    keep_values = tell_of_values = send


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path, Path]:
    monkeypatch.setattr(data_place, "_MEMORY", str(tmp_path))
    made = tmp_path / "shared", tmp_path / "disk", tmp_path / "private"
    for folder in made:
        folder.mkdir()
    return made


class Told:
    """Values with all who deal with them."""

    def __init__(self, shared: Path, disk: Path, private: Path) -> None:
        self.host, self.driver, self.peer, self.others = Noted(), Noted(), Noted(), Noted()
        config = BlockConfig(
            label="x", addresses=(), runtimes=(LocalRuntime(),), default_runtime="local", logs="",
            shared_folder=str(shared), values=("token", str(disk), 100),
        )  # fmt: skip
        hosts: Any = [self.host]
        self.peer.host = self.host
        self.values = Values(config, "0", private, hosts=hosts, send=self.driver.send)

    def hear(self, message: Any) -> None:
        peer: Any = self.peer
        self.values.hear(lambda peer, other: self.others.send(other), peer, message)


@pytest.fixture
def seen(folders: tuple[Path, Path, Path]) -> Told:
    return Told(*folders)


@pytest.fixture
def apart(folders: tuple[Path, Path, Path]) -> Iterator[Told]:
    told = Told(Path("/nowhere"), Path("/nowhere"), folders[2])
    yield told
    told.values.close()
    told.values.close()
    assert not os.path.exists(data_place.memory_of(str(folders[2])))


def test_workers_are_told_and_what_the_dead_leave_goes(seen: Told, folders: tuple[Path, Path, Path]) -> None:
    shared, disk, private = folders
    assert seen.values.shared_folder == str(shared / "0")
    assert Place.told(str(private)) == Place("token", str(shared), str(disk), "0", 100)
    assert seen.host.said == [KeepValues("token", "0", 100, "0")]
    for root in (shared, disk):
        for task in (7, 8):
            (root / "data" / str(task)).touch()
            (root / "0" / f"{task}.123.1").touch()
    seen.values.discard([7])
    walk = [(Path(folder).name, names) for root in (shared, disk) for folder, _, names in os.walk(root) if names]
    assert sorted(walk) == [("0", ["8.123.1"])] * 2 + [("data", ["8"])] * 2
    assert len(seen.host.said) == 1, "the host has nothing"


def test_beside_the_driver_what_is_there_is_there_at_once(seen: Told, folders: tuple[Path, Path, Path]) -> None:
    seen.peer.host = None
    (folders[0] / "data" / "7").write_bytes(b"value")
    seen.hear(AskValue(1, "7"))
    seen.hear(AskValue(2, "8"))
    seen.hear(AskValue(3, "9"))
    assert seen.driver.said == [WantValue("8", sees=True), WantValue("9", sees=True)]
    (folders[0] / "data" / "8").write_bytes(b"of another block")
    seen.values.told(ValuesCame([], {"9": "nobody held it"}, here=["8"]))
    assert seen.peer.said == [ValueHere(1), ValueHere(2), ValueHere(3, "nobody held it")]


def test_away_from_the_driver_it_asks_once_and_keeps(apart: Told, folders: tuple[Path, Path, Path]) -> None:
    place = Place.told(str(folders[2]))
    assert place
    assert (place.role, place.where, apart.values.shared_folder) == ("pilot", "0", "")
    apart.peer.host = None
    for order in (1, 2):
        apart.hear(AskValue(order, "put-1"))
    apart.hear(AskValue(3, "none"))
    assert apart.driver.said == [WantValue("put-1"), WantValue("none")]

    async def come() -> None:
        apart.values.told(ValuesCame([Copied("put-1", b"value"), Copied("../8", b"none of ours")], {"none": "why"}))
        assert apart.peer.said == [ValueHere(3, "why")], "the loop waits for no disk"
        async with asyncio.timeout(10):
            while len(apart.peer.said) < 3:
                await asyncio.sleep(0.01)

    asyncio.run(come())
    apart.hear(AskValue(4, "put-1"))
    assert apart.peer.said == [ValueHere(3, "why"), ValueHere(1), ValueHere(2), ValueHere(4)]


def test_away_from_the_driver_it_gives_it_what_it_wants(apart: Told, folders: tuple[Path, Path, Path]) -> None:
    apart.hear(ValueLeft("7"))
    apart.values.told(WantValue("7"))
    assert apart.host.said[1:] == [GiveValues()]
    apart.values._files.write("7", [b"value"])
    apart.values._movers._ended(1, "")
    apart.values.told(DropValues(["7", "put-1"]))
    apart.values.told(DropValues(["7"]))
    apart.values.told(WantValue("7"))
    assert apart.driver.said == [ValuesCame([Copied("7", b"value")]), ValuesCame([], {"7": values._GONE})]
    assert apart.host.said[2:] == [AgentsDrop(["7"])]


def test_with_a_host_goes_what_it_alone_had(apart: Told) -> None:
    apart.hear(ValueLeft("7"))
    apart.values.told(WantValue("7"))
    apart.values.host_changed("stranger", "away")
    apart.values.host_changed("other", "cut")
    apart.values.host_changed("other", "")
    apart.peer.host = None
    apart.hear(AskValue(1, "7"))
    apart.values.told(WantValue("7"))
    (first,) = {str(said.gone) for said in apart.driver.said}
    assert "other, where it lay, was lost (cut)" in first
    assert "was lost" in apart.peer.said[0].reason
    apart.hear(ValueLeft("7"))
    apart.peer.host = apart.host
    apart.hear(ValueLeft("7"))
    assert apart.values._movers.is_held("7"), "its task has run again"


def test_what_a_failed_task_may_have_left_goes_on_each_host(seen: Told) -> None:
    seen.values.told(DropValues(["7"], unfinished=True))
    assert seen.host.said[1:] == [AgentsDrop(["7"])]


def test_what_is_about_tasks_is_for_others(seen: Told) -> None:
    seen.hear(CancelChildren([1]))
    assert seen.others.said == [CancelChildren([1])]
