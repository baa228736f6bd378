"""Large values between hosts: once to each, beside all else, through a cut of the network, and past a firewall."""

import time

import pytest

from testing.vcluster.cluster import Cluster
from testing.vcluster.files import address
from tests.cluster.driver import Driver


@pytest.mark.timeout(180)
def test_a_value_reaches_each_host_once_also_through_a_cut_and_a_firewall(cluster: Cluster) -> None:
    with Driver(cluster, "moves", way="ssh") as driver:
        assert driver.hear("all") == pytest.approx([1, 0, 1], abs=0.1), "once, for four tasks on each host"
        giver = cluster.hosts["vn2"]
        giver.slow_down("50mbit")
        try:
            (driver.folder / "slow").touch()
            assert driver.hear("beside") < 1, "a value that comes holds up no task"
            assert driver.hear("on its way")
            cluster.silence("vn2", silent=True)
            time.sleep(4)
            cluster.silence("vn2", silent=False)
            (driver.folder / "cut").touch()
            assert driver.hear("size") == 20_000_000
            assert driver.hear("cut") == pytest.approx([0, 0, 1], abs=0.1), "what has come does not come again"
        finally:
            giver.slow_down("")
        giver.run("ip", "route", "add", "blackhole", address("vn3"))
        try:
            (driver.folder / "apart").touch()
            assert driver.hear("apart") == pytest.approx([1, 0, 1], abs=0.1), "by the pilot's host"
        finally:
            giver.run("ip", "route", "del", "blackhole", address("vn3"))
