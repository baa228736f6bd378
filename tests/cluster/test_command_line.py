"""`init`, `inventory` and `doctor` on a cluster: what real Slurm says of itself, and of a job."""

import json
import sys
from typing import Any

from rhapsody_parsl.doctor.config_file import check_file
from testing.vcluster.cluster import Cluster

COMMAND = (sys.executable, "-m", "rhapsody_parsl.cli.main")
JOB = ("salloc", "--quiet", "--nodes=2", "--ntasks-per-node=1", "--time=5", "srun", "--nodes=1", "--ntasks=1")


def said(cluster: Cluster, *words: str, job: tuple[str, ...] = ()) -> Any:
    return json.loads(cluster.head.run(*job, *COMMAND, *words, "--json"))


def test_init_asks_slurm(cluster: Cluster) -> None:
    file = cluster.folder / "init_config.py"
    told = said(cluster, "init", "--output", str(file))
    assert (told["site"]["system"], told["site"]["queue"]["nodes"]) == ("slurm", len(cluster.states()))
    assert told["site"]["queue"]["default"]
    assert {finding.mark for finding in check_file(file)} <= {"ok", "warning"}
    file.unlink()


def test_inventory_of_a_job_is_that_of_its_nodes(cluster: Cluster) -> None:
    nodes = said(cluster, "inventory", job=JOB)
    assert len({node["host"] for node in nodes}) == 2


def test_doctor_sees_the_job(cluster: Cluster) -> None:
    found = said(cluster, "doctor", "--no-test", job=JOB)
    (job,) = (finding for finding in found if (finding["area"], finding["what"]) == ("batch system", "job"))
    assert job["said"].startswith("2 hosts: ")
    assert "min left" in job["said"]
