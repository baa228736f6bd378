"""The pilot's half of the Dragon runtime, without Dragon."""

import asyncio
import importlib.util
import os
import shutil
import time
from collections.abc import Mapping
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rhapsody_parsl.agents.host import Host
from rhapsody_parsl.agents.listener import AgentListener
from rhapsody_parsl.agents.starter import Starter
from rhapsody_parsl.cluster.node_launcher import NodeLauncher
from rhapsody_parsl.config import DragonRuntime
from rhapsody_parsl.errors import BackendFailed, MissingPackage, RhapsodyError, RuntimeLost
from rhapsody_parsl.runtimes.dragon.partition import Partition, find_dragon, identity, mode, some_ports
from rhapsody_parsl.runtimes.dragon.runtime import Dragon, groups
from rhapsody_parsl.runtimes.protocol import Node
from rhapsody_parsl.wire.messages import Spawn
from testing import leaks
from testing.nodes import make_context, make_node
from testing.waiting import until

pytestmark = pytest.mark.dragon


def without(monkeypatch: pytest.MonkeyPatch, *missing: str) -> None:
    """Let these packages look as if they were not installed."""
    found = ModuleSpec("any", None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in missing else found)


def test_a_missing_package_is_a_refusal_that_names_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    without(monkeypatch, "dragon", "flask")
    with pytest.raises(MissingPackage) as caught:
        find_dragon(DragonRuntime(), str(tmp_path / "python"))
    assert str(caught.value) == (
        f"dragonhpc and flask is not installed in the block's Python environment ({tmp_path / 'python'}). "
        "Install it there with: pip install 'rhapsody-parsl[dragon]'"
    )


def test_the_command_beside_the_python_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    without(monkeypatch)
    monkeypatch.setattr(shutil, "which", lambda _: "/elsewhere/dragon")
    assert find_dragon(DragonRuntime(), str(tmp_path / "python")) == "/elsewhere/dragon"
    (tmp_path / "dragon").touch()
    assert find_dragon(DragonRuntime(), str(tmp_path / "python")) == str(tmp_path / "dragon")
    assert find_dragon(DragonRuntime(executable="/mine"), str(tmp_path / "python")) == "/mine"


def test_no_command_anywhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    without(monkeypatch)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(MissingPackage, match="dragon is not installed"):
        find_dragon(DragonRuntime(), str(tmp_path / "python"))


PORTS = "--port 1 --overlay-port 2 --frontend-port 3"


@pytest.mark.parametrize(("hosts", "reach", "everywhere", "words"), [
    ("a", "srun", True, "-s"),
    ("ab", "srun", True, f"-t tcp {PORTS} --wlm slurm"),
    ("ab", "srun", False, f"-t tcp {PORTS} --wlm ssh --hostlist a,b"),
    ("ab", "ssh", True, f"-t tcp {PORTS} --wlm ssh --hostlist a,b"),
    ("ab", "pals", True, f"-t tcp {PORTS} --wlm pbs+pals"),
])  # fmt: skip
def test_where_a_runtime_runs(hosts: str, reach: str, everywhere: bool, words: str) -> None:
    assert mode(list(hosts), (), reach, everywhere=everywhere, ports=[1, 2, 3]) == words.split()
    assert "tcp" not in mode(list(hosts), ("-t", "hsta"), reach, everywhere=everywhere, ports=[1, 2, 3])


@pytest.mark.parametrize("hosts", ["ab88e17fa910", "ada"])
def test_a_host_with_the_name_of_a_container_gets_a_number_that_dragon_can_read(hosts: str) -> None:
    (number,) = identity([hosts]).values()
    assert len(number) >= 16
    assert int(number, 16)


@pytest.mark.parametrize("hosts", ["nid001234 ", "ab88e17fa910 ab88e17fa911", "0123456789abcdef"])
def test_other_hosts_keep_the_number_that_dragon_gives_them(hosts: str) -> None:
    assert identity(hosts.split()) == {}


def test_the_number_that_somebody_gave_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTAINER_ID", "0123456789abcdef")
    assert identity(["ab88e17fa910"]) == {}


def test_runtimes_over_several_hosts_listen_on_ports_of_their_own() -> None:
    assert len(set(some_ports())) == 3
    assert len({tuple(some_ports()) for _ in range(100)}) == 100


class Told:
    """Hears of states, and of the partition's ends."""

    def __init__(self) -> None:
        self.states: list[tuple[str, str]] = []
        self.ends: list[RhapsodyError] = []

    def state(self, runtime: str, state: str, detail: str = "") -> None:
        """Take a state."""
        self.states.append((state, detail))

    def ended(self, partition: Partition, error: RhapsodyError, begun: Mapping[str, int]) -> None:
        """Take an end."""
        self.ends.append(error)


class Hub:
    """Has nothing but an address."""

    endpoint = ""

    def send(self, peer: str, message: Any) -> None:
        """Nobody is there."""


def partition(folder: Path, told: Told, launcher: str, **options: Any) -> Partition:
    """Return one with this shell script as its `dragon`; each start adds a byte to the file `starts`."""
    command = folder / "dragon"
    command.write_text(f"#!/bin/sh\ncd {folder}\nprintf . >> starts\n{launcher}\n")
    command.chmod(0o700)
    node = Node(name="n0", host="here", cores=(0,), real_cores=(0,))
    context = make_context(folder, told, node)
    config = DragonRuntime(executable=str(command), **options)
    nobody: Any = Hub()
    return Partition(
        "dragon-0", ("here",), config=config, context=context, exchange=nobody, workers=nobody, ended=told.ended
    )


def test_a_launcher_that_fails_is_started_once_more(tmp_path: Path) -> None:
    told = Told()

    async def check() -> None:
        made = partition(tmp_path, told, "[ -s again ] || { echo oh; echo . > again; exit 3; }\nexec sleep 100")
        starting = asyncio.create_task(made.start())
        await asyncio.to_thread(
            until, lambda: (tmp_path / "starts").exists() and (tmp_path / "starts").stat().st_size == 2
        )
        made.head_is_up()
        await starting
        await made.stop()

    with leaks.watch(3.0):
        asyncio.run(check())
    assert told.states == [("starting", "dragon-0 did not come up (it left with exit code 3) and is started once more")]
    assert not told.ends


def test_one_that_cannot_be_launched_any_more_leaves_no_worker_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Told()

    async def check() -> None:
        made = partition(tmp_path, told, "exit 1")
        made.spawn(Spawn("w", "here", (), {}))
        await asyncio.wait_for(asyncio.shield(made._wake()), 20)
        await made.stop()

    monkeypatch.setattr("rhapsody_parsl.runtimes.dragon.partition.some_ports", lambda: os.listdir(tmp_path / "gone"))
    with leaks.watch(3.0):
        asyncio.run(check())
    (end,) = told.ends
    assert isinstance(end, BackendFailed)
    assert "it could not be started: FileNotFoundError" in str(end)


def test_one_that_fails_again_has_failed_with_its_words(tmp_path: Path) -> None:
    told = Told()
    made = partition(tmp_path, told, "echo no such fabric; exit 3")

    async def check() -> None:
        with pytest.raises(BackendFailed) as caught:
            await made.start()
        assert str(caught.value) == (
            "The Dragon runtime did not start: it left with exit code 3, 2 times. "
            "The end of its log: no such fabric\nno such fabric"
        )
        with pytest.raises(BackendFailed):  # the next task tries again
            await made.start()

    with leaks.watch(3.0):
        asyncio.run(check())
    assert (tmp_path / "starts").stat().st_size == 4
    assert [type(end) for end in told.ends] == [BackendFailed, BackendFailed]


def test_one_that_is_not_up_in_time_is_ended(tmp_path: Path) -> None:
    told = Told()
    made = partition(tmp_path, told, "exec sleep 100", startup_timeout=0.5)
    began = time.monotonic()
    with leaks.watch(3.0), pytest.raises(BackendFailed, match=r"it was not up after 0.5 s, 2 times"):
        asyncio.run(made.start())
    assert time.monotonic() - began < 20


def test_one_that_was_up_is_lost_and_not_started_before_it_is_needed(tmp_path: Path) -> None:
    told = Told()
    made = partition(tmp_path, told, "sleep 1; exit 4")

    async def check() -> None:
        starting = asyncio.create_task(made.start())
        await asyncio.to_thread(until, (tmp_path / "starts").exists)
        made.head_is_up()
        await starting
        await asyncio.to_thread(until, lambda: bool(told.ends))

    with leaks.watch(3.0):
        asyncio.run(check())
    (error,) = told.ends
    assert isinstance(error, RuntimeLost)
    assert "it left with exit code 4" in str(error)
    assert (tmp_path / "starts").stat().st_size == 1
    assert not told.states


@pytest.mark.parametrize(("size", "expected"), [(0, "ac b"), (1, "a c b"), (2, "ac b")])
def test_hosts_that_are_late_share_no_runtime_with_those_that_are_there(
    size: int, expected: str, tmp_path: Path
) -> None:
    hosts = {"b": SimpleNamespace(up=False), "c": SimpleNamespace(up=True)}
    context = make_context(tmp_path, Told(), *map(make_node, "abc"), hosts=hosts)
    assert groups(context, size) == [tuple(group) for group in expected.split()]


def test_a_late_host_has_no_runtime_before_a_task_needs_it(tmp_path: Path) -> None:
    """It would be told as lost, and is only late."""
    told = Told()
    command = tmp_path / "bin" / "dragon"
    command.parent.mkdir()
    command.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\nexec sleep 100\n")
    command.chmod(0o700)

    async def check() -> None:
        listener = AgentListener("127.0.0.1", 1, period=1.0, threshold=5.0, bind="tcp://127.0.0.1")
        starter = Starter(NodeLauncher("own", ("env",)), tmp_path / "own", tmp_path, listener)
        late = Host("b", starter=starter, listener=listener, on_change=lambda *_: None)
        context = make_context(tmp_path, told, *map(make_node, "ab"), hosts={"b": late})
        dragon = Dragon(DragonRuntime(executable=str(command)), context)
        starting = asyncio.create_task(dragon.start())
        await asyncio.to_thread(until, lambda: (tmp_path / "started").exists() or starting.done())
        assert not starting.done(), starting.exception()
        await dragon.stop()
        await asyncio.gather(starting, return_exceptions=True)
        listener.close()

    with leaks.watch(3.0):
        asyncio.run(check())
    assert not told.states
