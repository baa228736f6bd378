"""Our providers on the cluster: the job of a salloc as the block, and one Slurm job for two executors."""

from testing.vcluster.cluster import Cluster
from tests.cluster.driver import Driver


def test_the_block_is_the_job_of_a_salloc(cluster: Cluster) -> None:
    """The script stays on the login node; its block starts on the job's first node and reaches the others."""
    with Driver(cluster, "functions", runtimes=["local"], way="salloc") as driver:
        met = driver.hear("met")
    assert sorted((host, *mask) for host, mask in met) == [(f"vn{n}", core) for n in (1, 2, 3) for core in (0, 1)]


def test_two_executors_share_the_nodes_of_a_job(cluster: Cluster) -> None:
    with Driver(cluster, "shared") as driver:
        assert driver.hear("ours") == ["vn1", "vn2"]
        assert driver.hear("parsls") == ["vn3"]
        assert driver.hear("jobs") == 1
