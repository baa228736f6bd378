"""The node agents of a block over Slurm are one step of its job; one that is lost is a step of its own."""

import os
import signal

from testing.vcluster.cluster import Cluster
from testing.waiting import until
from tests.cluster.driver import Driver
from tests.cluster.test_orphans import pids

PATIENCE = 40


def steps(cluster: Cluster) -> list[str]:
    """Return the job's steps, but for what Slurm calls so itself (`batch`, `extern`)."""
    found = cluster.head.run("squeue", "-h", "-s", "-o", "%i").split()
    return [step for step in found if step.rpartition(".")[2].isdecimal()]


def agent(cluster: Cluster, host: str) -> int:
    """Return the process that a node has an agent by, 0 while it has none."""
    return next(iter(pids(cluster, host, "/agent.py")), 0)


def test_agents_are_one_step_and_one_that_is_killed_comes_back_alone(cluster: Cluster) -> None:
    with Driver(cluster, "hold", runtimes=["local"]) as driver:
        driver.hear("running")
        (step,) = steps(cluster)
        before = {host: agent(cluster, host) for host in ("vn2", "vn3")}
        os.kill(before["vn2"], signal.SIGKILL)
        until(lambda: agent(cluster, "vn2") not in (0, before["vn2"]), PATIENCE)
        assert agent(cluster, "vn3") == before["vn3"]
        assert len(steps(cluster)) == 2
        assert step in steps(cluster)
        (driver.folder / "go").touch()
        assert driver.hear("ended") == ["NoneType", "NodeLost", "NoneType"]


def test_all_agents_come_back_by_another_step_when_theirs_is_killed(cluster: Cluster) -> None:
    with Driver(cluster, "hold", runtimes=["local"]) as driver:
        driver.hear("running")
        (step,) = steps(cluster)
        before = {host: agent(cluster, host) for host in ("vn2", "vn3")}
        os.kill(min(pids(cluster, "vn1", "srun", "node_agent.py")), signal.SIGKILL)  # the other one ends with it
        until(lambda: all(agent(cluster, host) not in (0, before[host]) for host in before), PATIENCE)
        until(lambda: step not in steps(cluster) and len(steps(cluster)) == 1, PATIENCE)
        (driver.folder / "go").touch()
        assert driver.hear("ended") == ["NoneType", "NodeLost", "NodeLost"]
