"""The launchers of MPIExecutor by their names there, real ones and a site's own that nobody knows."""

import os
from pathlib import Path
from typing import Any

import pytest
from parsl import bash_app

from rhapsody_parsl import MPIRuntime
from rhapsody_parsl.errors import InvalidTask
from tests.integration.gangs import TIMEOUT, loaded

pytestmark = pytest.mark.mpi

REQUEST = {"num_nodes": 2, "ranks_per_node": 2}
HOST = os.uname().nodename


@bash_app
def launch(name: str, stdout: str | None = None, parsl_resource_specification: dict[str, Any] | None = None) -> str:
    return f"$PARSL_MPI_PREFIX printenv PARSL_NUM_RANKS PARSL_MPI_PREFIX PARSL_{name.upper()}_PREFIX"


STAND_IN = """#!/bin/sh
[ "$1" = --version ] && { echo "site launcher 1.0"; exit; }
printf '%s ' "$@" > "$(dirname "$0")/said"
while [ "$1" != printenv ]; do shift; done
exec "$@"
"""


@pytest.mark.parametrize("name", ["srun", "aprun", "mpiexec"])
def test_launchers_by_their_names_in_mpi_executor(name: Any) -> None:
    assert MPIRuntime(launcher=name).launcher == name
    with pytest.raises(InvalidTask, match="mpiexec"):
        MPIRuntime(launcher="bad_launcher")  # type: ignore[arg-type]  # that is the point


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mpiexec", f"-n 4 -ppn 4 -hosts {HOST}"),  # the two declared nodes are one host
        ("aprun", f"-n 4 -N 4 -L {HOST}"),
        (
            "srun",
            f"--mpi=pmi2 --overlap --kill-on-bad-exit=1 --export=ALL --ntasks 4 --ntasks-per-node 4 --nodelist {HOST}",
        ),
    ],
)
def test_any_launcher(name: Any, words: str, tmp_path: Path) -> None:
    """A site's launcher that nobody knows gets the words of MPIExecutor, and its prefix is the default one."""
    program = tmp_path / name
    program.write_text(STAND_IN)
    program.chmod(0o755)
    runtime = MPIRuntime(launcher=name, executable=str(program))
    out = tmp_path / "out"
    with loaded(tmp_path, runtimes=[runtime], declared_nodes=2, cores_per_node=2):
        assert launch(name, stdout=str(out), parsl_resource_specification=REQUEST).result(TIMEOUT) == 0
    ranks, prefix, own = out.read_text().splitlines()
    assert ranks == "4"
    assert prefix == own
    assert prefix.startswith(f"{program} {words}")
    assert (tmp_path / "said").read_text().startswith(words)


def test_the_name_of_mpi_executor_means_what_is_there(tmp_path: Path) -> None:
    """`mpi_launcher="mpiexec"` becomes `MPIRuntime(launcher="mpiexec")`: MPICH's is known by its words."""
    out = tmp_path / "out"
    with loaded(tmp_path, runtimes=[MPIRuntime(launcher="mpiexec")]):
        assert launch("mpiexec", stdout=str(out), parsl_resource_specification={"num_ranks": 2}).result(TIMEOUT) == 0
    assert sorted(set(out.read_text().splitlines()))[-1] == "2"
    assert "-launcher fork" in out.read_text()
