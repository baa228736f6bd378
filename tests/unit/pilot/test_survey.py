"""The start of a block of two hosts, both this one: only the way to the second is a plain `env`."""

import asyncio
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from rhapsody_parsl import LocalRuntime
from rhapsody_parsl.errors import RhapsodyError
from rhapsody_parsl.pilot.survey import survey
from rhapsody_parsl.runtimes.protocol import Node
from rhapsody_parsl.spec.config import BlockConfig
from testing import leaks

HERE = socket.gethostname()


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    with leaks.watch(5.0):
        yield


def surveyed(tmp_path: Path, hosts: str, way: str) -> tuple[list[Node], list[str]]:
    (tmp_path / "hosts").write_text(hosts)
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    config = BlockConfig(
        label="x", addresses=(), runtimes=(LocalRuntime(),), default_runtime="local", logs="", node_launcher=way
    )

    async def run() -> tuple[list[Node], list[str]]:
        nodes, hosts = await survey(config, private, tmp_path, {"RHAPSODY_HOSTFILE": str(tmp_path / "hosts")})
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (private / "keys").iterdir()}
        assert {modes[f"{end}.key_secret"] for end in ("server", "client")} == {0o600}
        await asyncio.gather(*(host.close() for host in hosts.values()))
        return nodes, list(hosts)

    return asyncio.run(run())


def test_each_host_says_what_it_has(tmp_path: Path) -> None:
    nodes, hosts = surveyed(tmp_path, f"other slots=1\n{HERE}\n", "env HOST={host}")
    assert [node.name for node in nodes] == [HERE, "other"]
    assert hosts == ["other"]
    assert nodes[0].real_cores == tuple(sorted(os.sched_getaffinity(0)))
    assert len(nodes[1].cores) == 1
    assert nodes[1].labels == ("other",)


def test_a_host_that_does_not_answer_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    way = """sh -c '[ "$HOST" != {host} ] || exit 1; exec "$@"' {host}"""
    monkeypatch.setenv("HOST", "broken")
    nodes, hosts = surveyed(tmp_path, f"{HERE}\nbroken\nother\n", way)
    assert [node.name for node in nodes] == [HERE, "other"]
    assert hosts == ["other"]


def test_when_none_answers_the_block_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(RhapsodyError, match=r"None of the block's other hosts answers \(own\): a: the way to it ended"):
        surveyed(tmp_path, f"{HERE}\na\nb\n", "false {host}")
