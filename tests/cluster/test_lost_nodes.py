"""A node is killed, cut off or frozen under a block: only what ran there is lost, and told so."""

import os
import signal
import time
from contextlib import ExitStack

import pytest

from testing.vcluster.cluster import Cluster
from testing.waiting import until
from tests.cluster.driver import Driver

HEARTBEAT = 8  # the scenarios' heartbeat_threshold
SLACK = 12


def fail(cluster: Cluster, how: str) -> None:
    match how:
        case "killed":
            cluster.kill("vn2")
        case "cut off":
            cluster.link("vn2", up=False)
        case "without its agent":
            found = cluster.hosts["vn2"].processes().items()
            os.kill(next(pid for pid, line in found if "/agent.py" in line), signal.SIGKILL)
        case _:
            cluster.hosts["vn2"].freeze()


def repair(cluster: Cluster, how: str) -> None:
    match how:
        case "killed":
            cluster.start("vn2")
        case "cut off":
            cluster.link("vn2", up=True)
        case "frozen":
            cluster.hosts["vn2"].thaw()
        case _:
            pass  # its agent comes back by itself


@pytest.mark.parametrize(("how", "way", "runtime"), [
    ("killed", "slurm", "local"),
    ("killed", "ssh", "local"),
    pytest.param("killed", "slurm", "dragon", marks=pytest.mark.dragon),
    ("cut off", "slurm", "local"),
    ("frozen", "slurm", "local"),
    ("without its agent", "slurm", "local"),
])  # fmt: skip
def test_only_the_tasks_of_a_lost_node_are_lost(cluster: Cluster, how: str, way: str, runtime: str) -> None:
    comes_back = how != "killed" or way == "ssh"
    with ExitStack() as repairs:
        with Driver(cluster, "losing", runtimes=[runtime], way=way) as driver:
            driver.hear("running")
            if comes_back:
                (driver.folder / "return").touch()
            fail(cluster, how)
            repairs.callback(repair, cluster, how)
            began = time.monotonic()
            assert driver.hear("lost") == "NodeLost"
            assert time.monotonic() - began < HEARTBEAT + SLACK
            assert driver.hear("only there") == "NodeLost"
            assert driver.hear("others") == ["vn1", "vn3"]
            assert driver.hear("refused") == "NodeLost"
            if comes_back:
                repairs.close()
                assert driver.hear("back") == "vn2"
        until_gone(cluster)
    until_in_order(cluster)


def test_a_cut_shorter_than_the_threshold_costs_no_worker_and_no_task(cluster: Cluster) -> None:
    """When it is over the kernel has tried for the last time 2 s ago, and would try again in 11 s: too late."""
    with ExitStack() as repairs, Driver(cluster, "cut", threshold=20, way="ssh") as driver:
        before = driver.hear("running")
        cluster.silence("vn2", True)
        repairs.callback(cluster.silence, "vn2", False)
        time.sleep(14.5)
        repairs.close()
        (driver.folder / "go").touch()
        assert driver.hear("within") == "vn2"
        assert driver.hear("after") == before


@pytest.mark.mpi
@pytest.mark.parametrize("mpi", ["hydra", "openmpi"])
def test_gangs_over_a_lost_node_are_lost_and_the_next_runs_on_the_others(cluster: Cluster, mpi: str) -> None:
    with ExitStack() as repairs:
        with Driver(cluster, "gangs_lost", kinds=["function", "executable"], mpi=mpi) as driver:
            driver.hear("running")
            fail(cluster, "killed")
            repairs.callback(repair, cluster, "killed")
            assert driver.hear("lost") == {"function": "NodeLost", "executable": "NodeLost"}
            assert driver.hear("next") == ["vn1", "vn3"]
        until_gone(cluster)
    until_in_order(cluster)


def until_gone(cluster: Cluster) -> None:
    """Wait until nothing of the block is on the nodes that live: a repair lets Slurm kill what still ends in order."""
    until(lambda: not any(cluster.leftovers_on(name) for name in ("vn1", "vn3")), 20)


def until_in_order(cluster: Cluster) -> None:
    """Wait until Slurm has all nodes, and none of our jobs."""
    until(lambda: not cluster.head.run("squeue", "-h"), 60)
    cluster.wait_for_nodes(60)
