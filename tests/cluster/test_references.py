"""Values by reference over three hosts: once per host, gone from all when unneeded, made again when they are lost."""

import os
import signal
from collections import defaultdict

import pytest

from testing.vcluster.cluster import Cluster
from tests.cluster.driver import Driver
from tests.cluster.kept_values import CHAINS, HOSTS, SIZE, STEPS


def kill_agent(cluster: Cluster) -> None:
    """Kill the agent of the second host; it comes back by itself, with nothing."""
    found = cluster.hosts["vn2"].processes().items()
    os.kill(next(pid for pid, line in found if "/agent.py" in line), signal.SIGKILL)


@pytest.mark.parametrize(("way", "loses"), [("slurm", True), ("ssh", False)])
def test_a_value_reaches_each_host_once_and_is_made_again_when_its_host_is_lost(
    cluster: Cluster, way: str, loses: bool
) -> None:
    """Over Slurm the driver is on another host than the pilot, over ssh on the same."""
    with Driver(cluster, "references", way=way, loses=loses) as driver:
        files = defaultdict(set)
        for host, size, inodes in driver.hear("taken"):
            assert (size, len(inodes)) == (SIZE, 1)
            files[host].update(inodes)
        assert {host: len(found) for host, found in files.items()} == dict.fromkeys(HOSTS, 1), "brought once"
        assert driver.hear("driver") == SIZE
        assert driver.hear("other") == SIZE
        left = [set(names) for names in driver.hear("dropped")]
        assert len(set.union(*left)) == 1, "what has been dropped is gone from all hosts"
        assert driver.hear("near") == "vn2"
        assert driver.hear("beside") == ["vn2"], "the service is where the value is"
        assert driver.hear("inside") == ["vn2", SIZE, SIZE + 1], "a task's own values, too"
        driver.hear("under load")
        kill_agent(cluster)
        assert driver.hear("chains") == [SIZE + STEPS] * CHAINS, "what was lost was made again"
        if loses:
            assert driver.hear("there") == [0, 0, 1, 1, 0, 0]
            driver.hear("lose")
            try:
                cluster.kill("vn2")
                assert "host vn2, where it lay, was lost" in driver.hear("error")
                assert driver.hear("again") == SIZE + 1
                assert driver.hear("driver again") == SIZE + 1
                assert "host vn2, where it lay, was lost" in driver.hear("inside lost")
            finally:
                cluster.start("vn2")
