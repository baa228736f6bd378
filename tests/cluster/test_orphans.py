"""Whatever is killed with -9, nothing of ours is left on any host."""

import os
import signal
from typing import Any

import pytest

from testing.vcluster.cluster import Cluster
from testing.waiting import until
from tests.cluster.driver import Driver

PATIENCE = 25


def pids(cluster: Cluster, host: str, *words: str) -> list[int]:
    found = cluster.hosts[host].processes()
    return [pid for pid, line in found.items() if all(word in line for word in words)]


def kill(cluster: Cluster, host: str, *words: str, but: str = "nothing") -> None:
    lines = cluster.hosts[host].processes()
    found = [pid for pid in pids(cluster, host, *words) if but not in lines.get(pid, "")]
    assert found, f"nothing on {host} has {words} on its command line: {cluster.hosts[host].processes()}"
    for pid in found:
        os.kill(pid, signal.SIGKILL)


def at_work(cluster: Cluster, host: str) -> list[str]:
    """Return what still runs; files may stay where Slurm kills all of a step at once, until our next block there."""
    return [what for what in cluster.leftovers_on(host) if what.startswith("process ")]


def sweep(cluster: Cluster, way: str) -> None:
    """Run another block when files are left, as where Slurm ended guards at once: it removes what nobody uses."""
    until(lambda: not any(at_work(cluster, host) for host in cluster.hosts), PATIENCE)
    if not cluster.leftovers():
        return
    with Driver(cluster, "functions", runtimes=["local"], way=way) as driver:
        driver.hear("met")


@pytest.mark.parametrize("way", ["slurm", "ssh"])
@pytest.mark.parametrize(("runtimes", "options"), [
    pytest.param(["dragon", "mpi"], {}, marks=[pytest.mark.dragon, pytest.mark.mpi]),
    pytest.param(["local", "mpi"], {"mpi": "openmpi"}, marks=pytest.mark.mpi),
], ids=["dragon and mpi", "local and openmpi"])  # fmt: skip
def test_the_pilot(cluster: Cluster, runtimes: list[str], options: dict[str, Any], way: str) -> None:
    lose_the_pilot(cluster, runtimes, options, way)


@pytest.mark.dragon
@pytest.mark.parametrize("way", ["slurm", "ssh"])
def test_the_pilot_of_one_dragon_over_all_nodes(cluster: Cluster, way: str) -> None:
    lose_the_pilot(cluster, ["dragon"], {"span": 0}, way)


def lose_the_pilot(cluster: Cluster, runtimes: list[str], options: dict[str, Any], way: str) -> None:
    with Driver(cluster, "hold", runtimes=runtimes, way=way, **options) as driver:
        driver.hear("running")
        kill(cluster, "vn1", "-m rhapsody_parsl.pilot", but="guard.py")
        until(lambda: not at_work(cluster, "vn2") and not at_work(cluster, "vn3"), PATIENCE)
        assert set(driver.hear("ended")) == {"BlockLost"}
    until(lambda: not cluster.head.run("squeue", "-h"), PATIENCE)
    sweep(cluster, way)


def test_the_pilot_with_its_guard_and_all_ways_to_other_hosts(cluster: Cluster) -> None:
    """As when a batch system ends the first host's processes only; the next block removes the folder they leave."""
    with Driver(cluster, "hold", runtimes=["local"], way="ssh") as driver:
        driver.hear("running")
        kill(cluster, "vn1", "rhapsody_parsl", "guard.py")
        kill(cluster, "vn1", "node_agent.py")
        until(lambda: not at_work(cluster, "vn2") and not at_work(cluster, "vn3"), PATIENCE)
        assert set(driver.hear("ended")) <= {"BlockLost", "WorkerLost", "NodeLost"}
    sweep(cluster, "ssh")


def test_the_node_agent_of_a_host(cluster: Cluster) -> None:
    with Driver(cluster, "hold", runtimes=["local"]) as driver:
        driver.hear("running")
        kill(cluster, "vn2", "node_agent.py")
        until(lambda: not pids(cluster, "vn2", "rhapsody_parsl.worker"), PATIENCE)
        (driver.folder / "go").touch()
        assert sorted(driver.hear("ended")) == ["NodeLost", "NoneType", "NoneType"]
    sweep(cluster, "slurm")


@pytest.mark.dragon
@pytest.mark.parametrize("options", [{}, {"span": 0}], ids=["one a host", "one over all"])
def test_all_guards_of_another_host(cluster: Cluster, options: dict[str, Any]) -> None:
    """Those of Dragon's own parts there too, which come by an ssh of its own: their agent is left, and the pilot."""
    with Driver(cluster, "hold", runtimes=["dragon"], way="ssh", **options) as driver:
        driver.hear("running")
        kill(cluster, "vn2", "guard.py")
        (driver.folder / "go").touch()
        driver.hear("ended")
    cluster.wait_clean()
