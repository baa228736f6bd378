"""The start of a block of two hosts, both this one: only the way to the second is a plain `env`."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from rhapsody_parsl import LocalRuntime
from rhapsody_parsl.agents import host as host_module
from rhapsody_parsl.agents.host import Host
from rhapsody_parsl.config import BlockConfig
from rhapsody_parsl.errors import RhapsodyError
from rhapsody_parsl.hosts.changes import HostChanges
from rhapsody_parsl.pilot import gathering
from rhapsody_parsl.pilot.discovery import discover
from rhapsody_parsl.runtimes.protocol import Node
from testing import leaks

HERE = socket.gethostname()


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    with leaks.watch(5.0):
        yield


Story = Callable[[dict[str, Host], list[tuple[str, str]]], Awaitable[None]]


async def nothing(_hosts: dict[str, Host], _told: list[tuple[str, str]]) -> None:
    pass


def discovered(
    tmp_path: Path, hosts: str, way: str, environment: dict[str, str] | None = None, story: Story = nothing
) -> tuple[list[Node], list[str]]:
    (tmp_path / "hosts").write_text(hosts)
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    config = BlockConfig(
        label="x", addresses=(), runtimes=(LocalRuntime(),), default_runtime="local", logs="", node_launcher=way
    )

    async def run() -> tuple[list[Node], list[str]]:
        variables = {"RHAPSODY_HOSTFILE": str(tmp_path / "hosts"), **(environment or {})}
        changes, told = HostChanges(), list[tuple[str, str]]()
        nodes, hosts = await discover(config, private, tmp_path, changes=changes, environment=variables)
        changes.listen(lambda *change: told.append(change))
        await story(hosts, told)
        assert not (private / "agent").exists(), "an agent has read what is secret"
        await asyncio.gather(*(host.stop() for host in hosts.values()))
        for listener in {host.listener for host in hosts.values()}:
            listener.close()
        return nodes, list(hosts)

    return asyncio.run(run())


def test_each_host_says_what_it_has(tmp_path: Path) -> None:
    nodes, hosts = discovered(tmp_path, f"other slots=1\n{HERE}\n", "env HOST={host}")
    assert [node.name for node in nodes] == [HERE, "other"]
    assert hosts == ["other"]
    assert nodes[0].real_cores == tuple(sorted(os.sched_getaffinity(0)))
    assert len(nodes[1].cores) == 1
    assert nodes[1].labels == ("other",)


@pytest.mark.parametrize("elsewhere", ["", "1,2"])
def test_hosts_of_a_slurm_job_that_show_unequal_gpus_are_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, elsewhere: str
) -> None:
    job = {"SLURM_JOB_ID": "1", "CUDA_VISIBLE_DEVICES": "0,1"}
    nodes, _ = discovered(tmp_path, f"{HERE}\nother\n", f"env CUDA_VISIBLE_DEVICES={elsewhere} HOST={{host}}", job)
    assert [len(node.gpus) for node in nodes] == [2, 2 if elsewhere else 0]
    assert ("ask Slurm for GPUs by number" in caplog.text) == (not elsewhere)


OWN_FOLDER = """sh -c '%s; exec "$1" "$2" "$3" "$4" "$5-$0"' {host}"""
"""A way to hosts that are all this one; it does something before."""
BROKEN = OWN_FOLDER % "[ $0 != broken ] || [ -e %s ] || exit 1"


def test_a_host_that_does_not_answer_is_lost_and_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_module, "_FIRST_PAUSE", 0.0)
    mended = tmp_path / "mended"

    async def story(hosts: dict[str, Host], told: list[tuple[str, str]]) -> None:
        assert [name for name, _ in told] == ["broken"]
        assert told[0][1].startswith("the way to it ended"), "also when it is tried again just now"
        mended.touch()
        await asyncio.wait_for(hosts["broken"].wait_up(), 20)
        while len(told) == 1:
            await asyncio.sleep(0.01)
        assert told[1:] == [("broken", "")]

    nodes, hosts = discovered(tmp_path, f"{HERE}\nbroken\nother\n", BROKEN % mended, story=story)
    assert [node.name for node in nodes] == [HERE, "broken", "other"]
    assert nodes[1].cores == nodes[2].cores
    assert hosts == ["broken", "other"]


def test_a_block_does_not_wait_for_the_last_of_its_hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "_REST_WITHIN", 0.1)
    awake = tmp_path / "awake"
    way = OWN_FOLDER % f"[ $0 != slow ] || until [ -e {awake} ]; do sleep 0.1; done"

    async def story(hosts: dict[str, Host], told: list[tuple[str, str]]) -> None:
        assert [host.up for host in hosts.values()] == [True, False]
        assert told == []
        awake.touch()
        await asyncio.wait_for(hosts["slow"].wait_up(), 20)
        while not told:
            await asyncio.sleep(0.01)
        assert told == [("slow", "")]

    nodes, _ = discovered(tmp_path, f"{HERE}\nother\nslow\n", way, story=story)
    assert [node.name for node in nodes] == [HERE, "other", "slow"]


def test_a_host_that_comes_late_and_has_less_than_the_others_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "_REST_WITHIN", 0.1)
    way = OWN_FOLDER % "[ $0 != slow ] || { sleep 2; export CUDA_VISIBLE_DEVICES=0; }"

    async def story(hosts: dict[str, Host], told: list[tuple[str, str]]) -> None:
        while not told:
            await asyncio.sleep(0.01)
        ((name, problem),) = told
        assert name == "slow"
        assert problem.startswith("it has no GPU 1, and was to be like ")
        assert not hosts["slow"].up

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    discovered(tmp_path, f"{HERE}\nother\nslow\n", way, {"CUDA_VISIBLE_DEVICES": "0,1"}, story=story)


def test_where_hosts_are_not_alike_one_that_does_not_answer_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gpus = {"CUDA_VISIBLE_DEVICES": "0,1"}
    way = f"env CUDA_VISIBLE_DEVICES= {BROKEN % 'never'}"
    nodes, hosts = discovered(tmp_path, f"{HERE}\nbroken\nother\n", way, gpus)
    assert [node.name for node in nodes] == [HERE, "other"]
    assert hosts == ["other"]
    assert "hosts that do not answer are left out: broken: the way to it ended" in caplog.text


def test_when_none_answers_the_block_does_not_start(tmp_path: Path) -> None:
    hosts = "".join(f"{HERE}{letter}\n" for letter in ["", *"abcd"])
    way = "sh -c 'echo {host} is unknown >&2; exit 1' {host}"
    with pytest.raises(RhapsodyError) as caught:
        discovered(tmp_path, hosts, way)
    problem = f"the way to it ended: {HERE}a is unknown; see {tmp_path}/node-agent-{HERE}a.log"
    assert str(caught.value).startswith(
        f"None of the block's other hosts answers (own): {HERE}a and 3 others: {problem}"
    )
