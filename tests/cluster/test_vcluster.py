"""The virtual cluster itself: hosts apart, failures that look like failures, nothing left on the machine."""

import subprocess
import sys
import time

from testing.vcluster.cluster import Cluster
from testing.vcluster.files import Settings
from testing.waiting import until, until_gone


def test_hosts_are_apart_and_share_their_files(cluster: Cluster) -> None:
    names = [host.run("hostname").strip() for host in cluster.nodes]
    assert names == ["vn1", "vn2", "vn3"]
    assert len({host.run("cat", "/proc/sys/kernel/random/boot_id") for host in cluster.nodes}) == 3
    cluster.nodes[0].run("touch", "/tmp/private", "/dev/shm/private", str(cluster.folder / "shared"))
    there = cluster.nodes[1].run("ls", "/tmp", "/dev/shm", str(cluster.folder))
    assert "private" not in there
    assert "shared" in there
    cluster.nodes[0].run("rm", "/tmp/private", "/dev/shm/private", str(cluster.folder / "shared"))


def test_slurm_and_ssh_reach_every_node(cluster: Cluster) -> None:
    out = cluster.head.run("srun", "-N3", "--gpus-per-node=2", "sh", "-c", "echo $(hostname) $CUDA_VISIBLE_DEVICES")
    assert sorted(out.splitlines()) == ["vn1 0,1", "vn2 0,1", "vn3 0,1"]
    assert cluster.nodes[0].run("ssh", "vn3", "hostname").strip() == "vn3"


def test_a_host_cut_off_and_one_frozen_are_silent_until_they_return(cluster: Cluster) -> None:
    def answers() -> bool:
        ask = ["ssh", "-o", "ConnectTimeout=1", "-o", "ServerAliveInterval=1", "-o", "ServerAliveCountMax=1"]
        return cluster.head.run(*ask, "vn2", "hostname", check=False).strip() == "vn2"

    cluster.link("vn2", up=False)
    assert not answers()
    cluster.link("vn2", up=True)
    until(answers, 20)
    cluster.hosts["vn2"].freeze()
    assert not answers()
    cluster.hosts["vn2"].thaw()
    until(answers, 20)


def test_a_host_that_was_killed_comes_back(cluster: Cluster) -> None:
    before = cluster.hosts["vn3"].pid
    cluster.kill("vn3")
    try:
        until_gone([before])
    finally:
        cluster.start("vn3")
    cluster.wait_for_nodes()
    assert cluster.head.run("srun", "-w", "vn3", "hostname").strip() == "vn3"


def test_it_ends_with_the_process_that_made_it() -> None:
    """A test run that is killed leaves no host behind."""
    code = (
        "from testing.vcluster.cluster import Cluster; from testing.vcluster.files import Settings; import time\n"
        "with Cluster(Settings(nodes=1)) as cluster:\n"
        "    print(*(host.pid for host in cluster.hosts.values()), cluster.folder.parent, flush=True); time.sleep(100)"
    )
    maker = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert maker.stdout
    with maker.stdout as out:
        *pids, folder = out.readline().split()
    maker.kill()
    maker.wait(10)
    until_gone([int(pid) for pid in pids])
    subprocess.run(["rm", "-r", folder], check=True)


def test_it_is_up_in_seconds() -> None:
    began = time.monotonic()
    with Cluster(Settings(nodes=2)):
        assert time.monotonic() - began < 20
