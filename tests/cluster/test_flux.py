"""A block in a Flux instance over three nodes, started under Slurm as Flux commonly is; runs where Flux is installed."""

import shutil
from typing import Any

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


@pytest.mark.parametrize(("scenario", "options"), [
    ("losing", {"runtimes": ["local"]}),
    ("gang_lost", {"kill": "function", "mpi": "flux"}),
    ("gang_lost", {"kill": "executable", "mpi": "flux"}),
], ids=["functions", "gang of functions", "gang of an executable"])  # fmt: skip
def test_the_loss_of_a_broker_is_the_loss_of_its_node(cluster: Cluster, scenario: str, options: dict[str, Any]) -> None:
    with Driver(cluster, scenario, way="flux", **options) as driver:
        driver.hear("running")
        kill(cluster, "vn2", "flux-broker", but="slurmstepd")
        assert driver.hear("lost") == "NodeLost"
        if scenario == "losing":
            assert driver.hear("others") == ["vn1", "vn3"]
        else:
            assert driver.hear("next") == ["vn1", "vn3"]
        until(lambda: not ours(cluster, "vn2"), PATIENCE)
