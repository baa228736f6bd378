"""Slurm as it is in the wild: its nodes are called otherwise than their hosts, and it knows them by their addresses."""

from collections.abc import Iterator
from typing import Any

import pytest

from testing.vcluster.cluster import Cluster
from testing.vcluster.files import Settings
from testing.waiting import until
from tests.cluster.block import PATIENCE
from tests.cluster.driver import Driver
from tests.cluster.test_gangs import CONTRADICTING


@pytest.fixture(scope="module")
def whole_cloud() -> Iterator[Cluster]:
    with Cluster(Settings(nodes=2, cloud=True, shm="16g")) as cluster:
        yield cluster


@pytest.fixture
def cloud(whole_cloud: Cluster) -> Iterator[Cluster]:
    yield whole_cloud
    whole_cloud.wait_clean()


@pytest.mark.dragon
@pytest.mark.mpi
def test_elements_of_an_array_on_the_same_hosts_do_not_meet(cloud: Cluster) -> None:
    """Without an environment (`--export=NONE`), each with a Dragon runtime over both hosts, and with odd variables."""
    size = "--array=0-1 --nodes=2 --ntasks-per-node=1"
    with Driver(cloud, "beside", way="job", size=size, blocks=2, variables=CONTRADICTING) as driver:
        met: dict[str, list[Any]] = {"function": [], "gang": []}
        for _ in range(2):
            for kind in met:
                met[kind] += driver.hear(kind, 2 * PATIENCE)  # two such runtimes start at once on two cores
    for kind, places in met.items():
        assert sorted((host, *mask) for host, mask in places) == [("vn1", 0), ("vn1", 1), ("vn2", 0), ("vn2", 1)], kind


@pytest.mark.mpi
def test_a_block_may_be_a_step(cloud: Cluster) -> None:
    """Its own variables (`SLURM_STEP_...`, `SLURM_CPU_BIND`) are for no step of ours within."""
    with Driver(cloud, "alone", mpi="srun") as driver:
        for kind in ("function", "executable"):
            assert sorted(mask for _, mask in driver.hear(kind)) == [[0], [1]], kind
        assert 400 < driver.hear("left") < 600, "Slurm says when the job of ten minutes ends"


def test_a_job_that_is_requeued_is_the_same_block_again(cloud: Cluster) -> None:
    with Driver(cloud, "requeued") as driver:
        driver.hear("running")
        job = cloud.head.run("squeue", "-h", "-o", "%A").strip()
        cloud.head.run("scontrol", "requeue", job)
        until(lambda: "BeginTime" in cloud.head.run("squeue", "-h", "-o", "%r"), 20)
        # Slurm would wait two minutes; started within the same second, the nodes still take the job for the killed one.
        cloud.head.run("scontrol", "update", f"JobId={job}", "StartTime=now+3")
        assert "0" in driver.hear("lost")
        (driver.folder / "go").touch()
        assert driver.hear("again") in ("vn1", "vn2")
        assert driver.hear("blocks") == ["0"]


def test_a_heterogeneous_job_is_refused(cloud: Cluster) -> None:
    with Driver(cloud, "refused", way="job", size="--nodes=1 : --nodes=1") as driver:
        told = driver.hear("refused")
    assert "heterogeneous Slurm job of 2 components, and a block cannot span them" in told
    assert "Submit one component as a job of its own" in told
