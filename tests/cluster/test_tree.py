"""A block whose agents speak to the pilot by few of them: when one of these fails, no node but its own is lost."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from testing.vcluster.cluster import Cluster
from testing.vcluster.files import Settings
from tests.cluster.driver import Driver
from tests.cluster.test_orphans import pids

NODES, FAN_OUT, GATEWAY = 8, 3, "vn2"
"""Of the seven with an agent the first, the fourth and the last are gateways."""
_PEERS = """
import psutil
for process in psutil.process_iter():
    if process.cmdline()[1:3] == ["-m", "rhapsody_parsl.pilot"]:
        found = process.net_connections("tcp")
        ports = {each.laddr.port for each in found if each.status == "LISTEN"}
        print(*{each.raddr.ip for each in found if each.status == "ESTABLISHED" and each.laddr.port in ports})
"""


@pytest.fixture(scope="module")
def wide() -> Iterator[Cluster]:
    with Cluster(Settings(nodes=NODES)) as cluster:
        yield cluster


def fail(cluster: Cluster, how: str) -> None:
    match how:
        case "killed":
            for script in ("node_agent.py", "/agent.py"):
                for pid in pids(cluster, GATEWAY, script):
                    os.kill(pid, signal.SIGKILL)
        case "cut off":
            cluster.link(GATEWAY, up=False)
        case _:
            cluster.hosts[GATEWAY].freeze()


def repair(cluster: Cluster, how: str) -> None:
    match how:
        case "cut off":
            cluster.link(GATEWAY, up=True)
        case "frozen":
            cluster.hosts[GATEWAY].thaw()
        case _:
            pass  # its agent comes back by itself


@pytest.mark.parametrize("how", ["killed", "cut off", "frozen"])
def test_only_the_node_is_lost_by_whose_agent_others_speak(wide: Cluster, how: str) -> None:
    others = [f"vn{number}" for number in range(1, NODES + 1) if f"vn{number}" != GATEWAY]
    with ExitStack() as repairs, Driver(wide, "behind", nodes=NODES, fan_out=FAN_OUT, lost=GATEWAY) as driver:
        driver.hear("running")
        assert len(speak_to_the_pilot(wide)) == 3
        fail(wide, how)
        repairs.callback(repair, wide, how)
        assert driver.hear("lost") == "NodeLost"
        assert driver.hear("beside") == others
        assert driver.hear("kept") == others
        repairs.close()
        (driver.folder / "repaired").touch()
        assert driver.hear("back") == GATEWAY
    wide.wait_clean()


def speak_to_the_pilot(cluster: Cluster) -> set[str]:
    """Return the addresses of the hosts that have a connection to the pilot."""
    return set(cluster.hosts["vn1"].run(sys.executable, "-c", _PEERS).split())
