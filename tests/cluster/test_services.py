"""Model services on other nodes: where their processes are, what they are shown, who may ask."""

import os
import signal
import sys
from pathlib import Path

import pytest

from testing.vcluster.cluster import Cluster
from tests.cluster.driver import Driver
from tests.cluster.scenarios import FAKE

_START = 200
"""Seconds: five processes that import vLLM, on two cores."""


def hosts_of(cluster: Cluster, words: str) -> dict[str, list[int]]:
    """Return the processes whose command line begins so, on each host that has any, by the machine's number."""
    found = {
        name: [pid for pid, line in host.processes().items() if line.startswith(words)]
        for name, host in cluster.hosts.items()
    }
    return {name: pids for name, pids in found.items() if pids}


def variable(pid: int, name: str) -> str | None:
    """Return a variable of the process' real environment."""
    words = (Path("/proc") / str(pid) / "environ").read_text().split("\0")
    return dict(word.partition("=")[::2] for word in words).get(name)


@pytest.mark.vllm
def test_a_model_on_one_node_answers_the_driver_and_the_other_nodes(cluster: Cluster) -> None:
    with Driver(cluster, "serving") as driver:
        assert driver.hear("request")
        host, url, answer = driver.hear("called")
        assert (host, url.rpartition(":")[0]) == ("vn3", "http://vn2")
        assert answer
        assert driver.hear("without key") == 401
        assert list(hosts_of(cluster, "VLLM::EngineCore")) == ["vn2"]
        (driver.folder / "go").touch()


@pytest.mark.vllm
def test_an_engine_over_two_nodes_starts_again_as_a_whole(cluster: Cluster) -> None:
    with Driver(cluster, "spread", server="hosted", kind="tensor") as driver:
        answers = driver.hear("answers", _START)
        assert driver.hear("nodes") == "vn2,vn3"
        before = hosts_of(cluster, "VLLM::Worker")
        assert {host: len(pids) for host, pids in before.items()} == {"vn2": 1, "vn3": 1}
        os.kill(before["vn3"][0], signal.SIGKILL)
        (driver.folder / "killed").write_text("the member's worker")
        assert "restart 1 of 3" in driver.hear("detail")
        assert driver.hear("again", _START) == answers
        after = hosts_of(cluster, "VLLM::Worker")
        assert {host: len(set(pids) - set(before[host])) for host, pids in after.items()} == {"vn2": 1, "vn3": 1}


@pytest.mark.vllm
def test_engines_on_two_nodes_answer_behind_one_command(cluster: Cluster) -> None:
    with Driver(cluster, "spread", server="command", kind="data") as driver:
        assert len(set(driver.hear("answers", _START))) == 1
        assert driver.hear("nodes") == "vn2,vn3"
        assert {host: len(pids) for host, pids in hosts_of(cluster, "VLLM::EngineCore").items()} == {"vn2": 1, "vn3": 1}
        (driver.folder / "killed").touch()


def test_replicas_and_functions_have_gpus_of_their_own_over_all_nodes(cluster: Cluster) -> None:
    with Driver(cluster, "leased_gpus") as driver:
        functions = [tuple(place) for place in driver.hear("functions")]
        servers = hosts_of(cluster, f"{sys.executable} {FAKE}")
        replicas = [(host, variable(pid, "CUDA_VISIBLE_DEVICES")) for host, pids in servers.items() for pid in pids]
        (driver.folder / "go").touch()
    assert len(replicas) == 4
    assert sorted([*replicas, *functions]) == [(f"vn{n}", gpu) for n in (1, 2, 3) for gpu in ("0", "1")]
