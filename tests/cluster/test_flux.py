"""A block in a Flux instance over three nodes, started under Slurm as Flux often is; runs where Flux is installed."""

import shutil

import pytest

from testing.vcluster.cluster import Cluster
from testing.waiting import until
from tests.cluster.driver import Driver
from tests.cluster.test_gangs import check_apart_and_even
from tests.cluster.test_mixed import check_apart
from tests.cluster.test_orphans import PATIENCE, kill, pids

pytestmark = [
    pytest.mark.dragon,
    pytest.mark.mpi,
    pytest.mark.skipif(shutil.which("flux") is None, reason="Flux is not installed"),
]


def ours(cluster: Cluster, host: str) -> list[str]:
    """Return what is left of the block: Flux and the step of Slurm that holds it go on."""
    flux = ("flux-broker", "slurmstepd", "py-runner.py")
    return [what for what in cluster.leftovers_on(host) if not any(word in what for word in flux)]


def test_functions_gangs_and_a_service_share_a_block(cluster: Cluster) -> None:
    with Driver(cluster, "mixed", way="flux") as driver:
        check_apart(driver.hear("function"))
        check_apart(driver.hear("executable"))
        assert driver.hear("service")[::2] == ["vn3", "olleh"]


@pytest.mark.parametrize("launcher", ["flux", "hydra", "openmpi"])
def test_each_rank_has_a_core_of_its_own(cluster: Cluster, launcher: str) -> None:
    """Standing worlds hold all cores when the executables come."""
    with Driver(cluster, "gangs", way="flux", mpi={"launcher": launcher}) as driver:
        check_apart_and_even(driver)


@pytest.mark.parametrize("mpi", ["flux", "auto"])
def test_nothing_is_left_of_a_pilot_that_is_killed(cluster: Cluster, mpi: str) -> None:
    with Driver(cluster, "hold", runtimes=["dragon", "mpi"], way="flux", mpi=mpi) as driver:
        driver.hear("running")
        kill(cluster, "vn1", "-m rhapsody_parsl.pilot", but="guard.py")
        until(lambda: not ours(cluster, "vn2") and not ours(cluster, "vn3"), PATIENCE)
        assert pids(cluster, "vn2", "flux-broker"), "all went with the instance"
        assert set(driver.hear("ended")) == {"BlockLost"}


def test_functions_of_a_frozen_node_are_lost_and_it_comes_back(cluster: Cluster) -> None:
    with Driver(cluster, "losing", runtimes=["local"], way="flux") as driver:
        driver.hear("running")
        (driver.folder / "return").touch()
        cluster.hosts["vn2"].freeze()
        try:
            assert driver.hear("lost") == "NodeLost"
            assert driver.hear("others") == ["vn1", "vn3"]
            assert driver.hear("refused") == "NodeLost"
        finally:
            cluster.hosts["vn2"].thaw()
        assert driver.hear("back") == "vn2"


def test_a_gang_over_a_frozen_node_is_lost_and_the_next_runs_on_the_others(cluster: Cluster) -> None:
    with Driver(cluster, "gangs_lost", way="flux", kinds=["function"], mpi="flux") as driver:
        driver.hear("running")
        cluster.hosts["vn2"].freeze()
        try:
            assert driver.hear("lost") == {"function": "NodeLost"}
            assert driver.hear("next") == ["vn1", "vn3"]
        finally:
            cluster.hosts["vn2"].thaw()
