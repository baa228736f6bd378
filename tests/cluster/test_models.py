"""Models on other nodes: where their engines are, who may ask, what becomes of an engine that loses a part."""

import os
import signal
from collections.abc import Iterator

import pytest

from testing.vcluster.cluster import Cluster
from tests.cluster.driver import Driver
from tests.cluster.test_services import hosts_of

pytestmark = pytest.mark.vllm

_START = 200
"""Seconds: fourteen processes that import vLLM, on two cores."""


@pytest.fixture(scope="module")
def driver(whole_cluster: Cluster) -> Iterator[Driver]:
    """One block for all tests here: three engines that start at once take little longer than one."""
    with Driver(whole_cluster, "models") as driver:
        yield driver
        (driver.folder / "go").touch()
    whole_cluster.wait_clean()


def test_a_model_on_one_node_answers_the_driver_and_the_other_nodes(whole_cluster: Cluster, driver: Driver) -> None:
    assert all(driver.hear("tiny", _START))
    host, url, answer = driver.hear("called")
    assert (host, url.rpartition(":")[0]) == ("vn3", "http://vn2")
    assert answer
    assert driver.hear("without key") == 401
    assert list(hosts_of(whole_cluster, "VLLM::EngineCore", "tiny")) == ["vn2"]


def test_engines_on_two_nodes_answer_behind_one_command(whole_cluster: Cluster, driver: Driver) -> None:
    told = driver.hear("data", _START)
    assert len(set(told["answers"])) == 1
    assert told["nodes"] == "vn2,vn3"
    engines = hosts_of(whole_cluster, "VLLM::EngineCore", "data")
    assert {host: len(pids) for host, pids in engines.items()} == {"vn2": 1, "vn3": 1}


def test_an_engine_over_two_nodes_starts_again_as_a_whole(whole_cluster: Cluster, driver: Driver) -> None:
    told = driver.hear("tensor", _START)
    assert told["nodes"] == "vn2,vn3"
    (log,) = driver.folder.rglob("tensor-0.log")
    assert "max_num_batched_tokens=4096" in log.read_text()  # as `vllm serve` has it for two workers
    before = hosts_of(whole_cluster, "VLLM::Worker", "tensor")
    assert {host: len(pids) for host, pids in before.items()} == {"vn2": 1, "vn3": 1}
    os.kill(before["vn3"][0], signal.SIGKILL)
    (driver.folder / "killed").touch()
    assert "restart 1 of 3" in driver.hear("detail")
    assert driver.hear("again", _START) == told["answers"]
    after = hosts_of(whole_cluster, "VLLM::Worker", "tensor")
    assert {host: len(set(pids) - set(before[host])) for host, pids in after.items()} == {"vn2": 1, "vn3": 1}
