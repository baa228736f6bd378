"""The start of a block of two hosts, both this one: only the way to the second is a plain `env`."""

import asyncio
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from rhapsody_parsl import LocalRuntime
from rhapsody_parsl.config import BlockConfig
from rhapsody_parsl.errors import RhapsodyError
from rhapsody_parsl.hosts.changes import HostChanges
from rhapsody_parsl.pilot.discovery import discover
from rhapsody_parsl.runtimes.protocol import Node
from testing import leaks

HERE = socket.gethostname()


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    with leaks.watch(5.0):
        yield


def discovered(
    tmp_path: Path, hosts: str, way: str, environment: dict[str, str] | None = None
) -> tuple[list[Node], list[str]]:
    (tmp_path / "hosts").write_text(hosts)
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    config = BlockConfig(
        label="x", addresses=(), runtimes=(LocalRuntime(),), default_runtime="local", logs="", node_launcher=way
    )

    async def run() -> tuple[list[Node], list[str]]:
        variables = {"RHAPSODY_HOSTFILE": str(tmp_path / "hosts"), **(environment or {})}
        nodes, hosts = await discover(config, private, tmp_path, changes=HostChanges(), environment=variables)
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (private / "keys").iterdir()}
        assert {modes[f"{end}.key_secret"] for end in ("server", "client")} == {0o600}
        await asyncio.gather(*(host.stop() for host in hosts.values()))
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


def test_a_host_that_does_not_answer_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    way = """sh -c '[ "$HOST" != {host} ] || exit 1; exec "$@"' {host}"""
    monkeypatch.setenv("HOST", "broken")
    nodes, hosts = discovered(tmp_path, f"{HERE}\nbroken\nother\n", way)
    assert [node.name for node in nodes] == [HERE, "other"]
    assert hosts == ["other"]


def test_when_none_answers_the_block_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(RhapsodyError, match=r"None of the block's other hosts answers \(own\): a: the way to it ended"):
        discovered(tmp_path, f"{HERE}\na\nb\n", "false {host}")
