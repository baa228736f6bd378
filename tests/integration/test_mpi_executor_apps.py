"""Apps written for Parsl's MPIExecutor, unchanged, under this executor.

Each case of Parsl's own tests of it (`parsl/tests/test_htex/mpi`) has its place here or elsewhere:

| their test | here |
| --- | --- |
| test_mpi_mode_enabled: only_resource_specs_set, test_mpiex: get_env | `test_variables_of_a_request` |
| bash_default_prefix_set | `test_the_default_prefix_is_a_line_that_launches` |
| bash_multiple_set | `test_several_requests_at_once`; three nodes for four ranks are refused, not 1.33 a node |
| bash_app_using_resource_spec | `test_a_body_reads_its_request` |
| simulated_load | `test_a_hundred_tasks_of_all_sizes` |
| missing_resource_spec, test_resource_spec: mpi_resource_spec | `test_refused_at_submit`, `test_launcher_options` |
| test_resource_spec: resource_spec_passed_to_htex | `test_refused_without_mpi` |
| test_mpi_scheduler: contention, hashable_backlog_queue | `test_tasks_of_the_whole_block_take_turns` |
| test_mpi_scheduler: put_task, get_result, roundtrip | `test_every_number_of_nodes_comes_back` |
| test_bad_mpi_config: bad_mpi_launcher, correct_launcher_with_mpi_mode | test_mpi_launchers.py |
| test_mpi_prefix: all | test_mpi_launchers.py and tests/unit/runtimes/mpi/launch/test_launcher.py |
| test_resource_spec: slurm, pbs host lists, top_level | tests/unit/pilot/test_inventory.py |
| test_bad_mpi_config: bad_launcher; test_mpiex: docstring, init; NoopScheduler | of the class MPIExecutor itself |
"""

import itertools
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from parsl import bash_app, python_app
from parsl.executors.errors import InvalidResourceSpecification

from rhapsody_parsl import LocalRuntime, RhapsodyExecutor
from tests.integration import apps
from tests.integration.gangs import TIMEOUT, loaded

pytestmark = pytest.mark.mpi

NODES = 4


@pytest.fixture(scope="module")
def block(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Four declared nodes, as their tests have four in a node file."""
    with loaded(tmp_path_factory.mktemp("mpi"), declared_nodes=NODES, cores_per_node=8):
        yield


@python_app
def get_env_vars(parsl_resource_specification: dict[str, Any] | None = None) -> dict[str, str]:
    import os

    return {key: value for key, value in os.environ.items() if key.startswith("PARSL_")}


@bash_app
def launch(words: str, stdout: str | None = None, parsl_resource_specification: dict[str, Any] | None = None) -> str:
    return f"$PARSL_MPI_PREFIX {words}"


@python_app
def nap_on_nodes(seconds: float, parsl_resource_specification: dict[str, Any]) -> tuple[int, list[str]]:
    import os
    import time

    time.sleep(seconds)
    ranks = int(os.environ["PARSL_NUM_NODES"]) * int(os.environ["PARSL_RANKS_PER_NODE"])
    return ranks, os.environ["PARSL_MPI_NODELIST"].split(",")


@python_app
def times(seconds: float, parsl_resource_specification: dict[str, Any]) -> tuple[float, float]:
    import time

    began = time.time()
    time.sleep(seconds)
    return began, time.time()


# --- what an app is told ---------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("block")
@pytest.mark.parametrize(
    ("request_", "counts"),
    [
        ({"num_nodes": 2, "ranks_per_node": 2}, ("2", "4", "2")),
        ({"num_nodes": 3, "ranks_per_node": 5}, ("3", "15", "5")),
        ({"num_nodes": 2, "num_ranks": 8}, ("2", "8", "4")),
        ({"num_ranks": 6, "ranks_per_node": 3}, ("2", "6", "3")),
        ({"ranks_per_node": 4}, ("1", "4", "4")),
        ({"num_nodes": "2", "ranks_per_node": "2", "num_ranks": "4"}, ("2", "4", "2")),
    ],
)
def test_variables_of_a_request(request_: dict[str, Any], counts: tuple[str, str, str]) -> None:
    found = get_env_vars(parsl_resource_specification=request_).result(TIMEOUT)
    names = ("PARSL_NUM_NODES", "PARSL_NUM_RANKS", "PARSL_RANKS_PER_NODE")
    assert tuple(found[name] for name in names) == counts
    assert found["PARSL_MPI_PREFIX"] == found["PARSL_MPIEXEC_PREFIX"]
    assert found["PARSL_SRUN_PREFIX"].startswith(f"srun --ntasks {counts[1]} --ntasks-per-node {counts[2]} --nodelist")
    assert found["PARSL_APRUN_PREFIX"].startswith(f"aprun -n {counts[1]} -N {counts[2]} -node-list")
    assert not any("None" in value for value in found.values())


@pytest.mark.usefixtures("block")
def test_the_default_prefix_is_a_line_that_launches(tmp_path: Path) -> None:
    out = tmp_path / "out"
    program = "from mpi4py import MPI; c = MPI.COMM_WORLD; c.rank or print(c.size)"
    request = {"num_nodes": 2, "ranks_per_node": 2}
    done = launch(f"{sys.executable} -c '{program}'", stdout=str(out), parsl_resource_specification=request)
    assert done.result(TIMEOUT) == 0
    assert out.read_text() == "4\n"
    prefix = get_env_vars(parsl_resource_specification=request).result(TIMEOUT)["PARSL_MPI_PREFIX"].split()
    assert Path(prefix[0]).name == "mpiexec"  # theirs has the name alone, and needs it on the worker's PATH


@pytest.mark.usefixtures("block")
def test_launcher_options(tmp_path: Path) -> None:
    out = tmp_path / "out"
    request = {"num_ranks": 2, "launcher_options": "-genv GREETING hello"}
    assert launch("printenv GREETING", stdout=str(out), parsl_resource_specification=request).result(TIMEOUT) == 0
    assert out.read_text().count("hello") == 2


@pytest.mark.usefixtures("block")
def test_a_body_reads_its_request(tmp_path: Path) -> None:
    @bash_app
    def total(parsl_resource_specification: Any = None, stdout: str | None = None) -> str:
        request = parsl_resource_specification
        return f"echo {request['ranks_per_node'] * request['num_nodes']}"

    out = tmp_path / "out"
    assert total(parsl_resource_specification={"num_nodes": 2, "ranks_per_node": 2}, stdout=str(out)).result(60) == 0
    assert out.read_text() == "4\n"


# --- many ------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("block")
def test_several_requests_at_once(tmp_path: Path) -> None:
    sizes = (1, 2, 4)
    futures = {
        nodes: launch(
            "echo here",
            stdout=str(tmp_path / f"{nodes}"),
            parsl_resource_specification={"num_nodes": nodes, "num_ranks": 4},
        )
        for nodes in sizes
    }
    assert [future.result(TIMEOUT) for future in futures.values()] == [0, 0, 0]
    assert all((tmp_path / f"{nodes}").read_text().count("here") == 4 for nodes in sizes)


@pytest.mark.usefixtures("block")
def test_a_hundred_tasks_of_all_sizes() -> None:
    dice = random.Random(4)  # noqa: S311 - no secret
    requests = [{"num_nodes": dice.choice((1, 2, 4)), "ranks_per_node": dice.choice((4, 8))} for _ in range(100)]
    naps = [dice.choice((0, 0.01, 0.02, 0.04)) for _ in requests]
    futures = [nap_on_nodes(nap, parsl_resource_specification=r) for nap, r in zip(naps, requests, strict=True)]
    for future, request in zip(futures, requests, strict=True):
        ranks, nodes = future.result(TIMEOUT)
        assert len(nodes) == request["num_nodes"]
        assert ranks == request["num_nodes"] * request["ranks_per_node"]


@pytest.mark.usefixtures("block")
def test_every_number_of_nodes_comes_back() -> None:
    for nodes in range(1, NODES + 1):
        request = {"num_nodes": nodes, "ranks_per_node": 2}
        assert nap_on_nodes(0, parsl_resource_specification=request).result(TIMEOUT)[0] == 2 * nodes


@pytest.mark.usefixtures("block")
def test_tasks_of_the_whole_block_take_turns() -> None:
    request = {"num_nodes": NODES, "ranks_per_node": 8}
    turns = sorted(f.result(TIMEOUT) for f in [times(0.1, parsl_resource_specification=request) for _ in range(3)])
    assert all(end <= begin for (_, end), (begin, _) in itertools.pairwise(turns))


@pytest.mark.usefixtures("block")
def test_several_tasks_share_a_node() -> None:
    """MPIExecutor gives each task whole nodes; four of two ranks are here on one node of eight cores together."""
    futures = [times(1.0, parsl_resource_specification={"num_ranks": 2}) for _ in range(4 * NODES)]
    spans = [future.result(TIMEOUT) for future in futures]
    middle = max(begin for begin, _ in spans)
    assert sum(begin <= middle < end for begin, end in spans) > NODES


# --- refused ---------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("block")
@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        ({}, "an app of the default runtime, mpi, needs ranks. Give num_ranks, or num_nodes and ranks_per_node"),
        ({"num_nodes": 2, "BAD_OPT": 1}, "BAD_OPT=1: unknown key"),
        ({"num_nodes": 3, "num_ranks": 4}, "num_ranks=4: not divisible by num_nodes=3"),
        ({"num_ranks": 5, "ranks_per_node": 2}, "num_ranks=5: not divisible by ranks_per_node=2"),
        ({"num_nodes": 2, "ranks_per_node": 2, "num_ranks": 8}, "num_nodes * ranks_per_node is 4"),
        ({"num_ranks": 0}, "num_ranks=0: the smallest is 1"),
        ({"num_nodes": -1, "ranks_per_node": 2}, "num_nodes=-1: the smallest is 1"),
        ({"num_nodes": 1.5}, "num_nodes=1.5: a whole number is needed"),
        ({"num_nodes": 5, "ranks_per_node": 1}, "num_nodes=5: a block has 4"),
        ({"num_nodes": 1, "ranks_per_node": 9}, "ranks_per_node=9: the nodes have room for 8 ranks each"),
    ],
)
def test_refused_at_submit(request_: dict[str, Any], sentence: str) -> None:
    future = get_env_vars(parsl_resource_specification={"num_ranks": 1})
    assert future.result(TIMEOUT)  # the block has said what it holds
    with pytest.raises(InvalidResourceSpecification) as caught:
        get_env_vars(parsl_resource_specification=request_).result(TIMEOUT)
    assert sentence in str(caught.value)


@pytest.mark.parametrize("request_", [{"num_nodes": 2, "ranks_per_node": 1}, {"launcher_options": "-l"}, {"BAD": 1}])
def test_refused_without_mpi(request_: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with RhapsodyExecutor(runtimes=[LocalRuntime()]) as executor, pytest.raises(InvalidResourceSpecification):
        executor.submit(apps.add, request_, 1)
