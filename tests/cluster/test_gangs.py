"""MPI over three nodes, by each launcher there is here."""

import re
from collections import Counter
from typing import Any

import pytest

from testing.vcluster.cluster import Cluster
from tests.cluster.driver import Driver

pytestmark = pytest.mark.mpi


FAILED = {
    "hydra": (5, r"rank 2 of 3 on vn\d left with exit code 5"),
    "srun": (143, r"srun: error: vn\d: task 2: Exited with exit code 5"),  # the code of those that it ends
    "openmpi": (5, r"Process name: \[.*@1,2\]\s+Exit code:\s+5"),
}
"""The exit code of a launch of which a rank leaves with 5, and how that is named, by launcher."""


@pytest.mark.parametrize(("way", "mpi"), [
    ("slurm", {"launcher": "hydra"}),
    ("slurm", {"launcher": "srun"}),
    ("ssh", {"launcher": "hydra"}),
    ("slurm", {"launcher": "openmpi"}),
    ("ssh", {"launcher": "openmpi"}),
], ids=["hydra in slurm", "srun", "hydra over ssh", "openmpi in slurm", "openmpi over ssh"])  # fmt: skip
def test_each_rank_has_a_core_of_its_own_and_one_that_fails_is_named(
    cluster: Cluster, way: str, mpi: dict[str, Any]
) -> None:
    with Driver(cluster, "gangs", way=way, mpi=mpi) as driver:
        check_apart_and_even(driver)
        code, named = FAILED[mpi["launcher"]]
        returned, words = driver.hear("failed")
        assert returned == code, words
        assert re.search(named, words), words


CONTRADICTING = (
    "SLURM_EXPORT_ENV=NONE SLURM_CPUS_PER_TASK=7 SLURM_NTASKS=17 SLURM_NTASKS_PER_NODE=9 SLURM_MEM_PER_CPU=3 "
    "SLURM_MEM_PER_GPU=5 SLURM_TRES_PER_TASK=cpu:3 SLURM_GPUS_PER_TASK=2 SLURM_HINT=nomultithread SLURM_EXCLUSIVE=1 "
    "SLURM_THREADS_PER_CORE=1 SLURM_DISTRIBUTION=plane=3 SRUN_CPUS_PER_TASK=5 SLURM_CPU_BIND=map_cpu:0 SLURM_WAIT=1"
)


@pytest.mark.parametrize("launcher", ["hydra", "srun", "openmpi"])
def test_variables_of_the_job_that_contradict_each_other_reach_no_step(cluster: Cluster, launcher: str) -> None:
    """As jobs, sites and profiles set them: `srun` would take each for an option."""
    with Driver(cluster, "gangs", mpi={"launcher": launcher}, variables=CONTRADICTING) as driver:
        check_apart_and_even(driver)


def check_apart_and_even(driver: Driver) -> None:
    for kind in ("function", "executable"):
        for shape, ranks in (("even", 6), ("uneven", 5)):
            met = driver.hear(f"{kind} {shape}")
            places = [(host, *mask) for host, mask in met]
            assert len(set(places)) == ranks, (kind, shape, met)
            counts = Counter(host for host, _ in met)
            assert sorted(counts.values()) == ([2, 2, 2] if shape == "even" else [1, 2, 2]), met
    said = sorted(driver.hear("groups"))
    assert [line[:2] for line in said] == [["0", "one"], ["1", "one"], *([str(rank), "another"] for rank in (2, 3, 4))]
    assert sorted(Counter(host for *_, host in said).values()) == [1, 2, 2]


def test_ranks_that_come_up_alone_are_refused(cluster: Cluster) -> None:
    mpi = {"launcher": "srun", "options": ["--mpi=none"]}
    with Driver(cluster, "gangs", mpi=mpi) as driver:
        for shape in ("even", "uneven"):
            assert "MPICH needs --mpi=pmi2" in driver.hear(f"function {shape}")
        driver.hear("executable even")  # where the launcher binds, nothing of ours stands between
        assert "MPICH" in driver.hear("executable uneven")
