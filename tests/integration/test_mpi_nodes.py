"""MPI in blocks of other shapes: declared nodes, few ranks, cancelled tasks."""

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import parsl
import pytest
from parsl import Config, python_app

from rhapsody_parsl import MPI, MPIRuntime, Policy, RhapsodyExecutor, annotate
from tests.integration.gangs import HUNG, TIMEOUT, loaded, nap, total

pytestmark = pytest.mark.mpi


def test_cancel_running_and_queued(tmp_path: Path) -> None:
    executor = RhapsodyExecutor(label="mpi", runtimes=[MPIRuntime()], cores_per_node=2)
    with parsl.load(Config(executors=[executor], run_dir=str(tmp_path), initialize_logging=False)):
        spec = {"num_ranks": 2}
        assert executor.submit(total, spec, 1).result(TIMEOUT) == 2
        running = executor.submit(nap, spec, 60)
        queued = executor.submit(nap, spec, 60)
        last = executor.submit(total, spec, 3)
        time.sleep(0.5)
        assert queued.cancel()
        assert running.cancel()
        assert last.result(HUNG) == 6


def test_gangs_of_one_one_and_four_nodes(tmp_path: Path) -> None:
    """Parsl's MPIExecutor loses two of the three results."""

    def launch(nodes: int) -> Any:
        words = os.environ["PARSL_MPI_PREFIX"].split()
        out = subprocess.run([*words, "echo", "here"], check=True, capture_output=True, text=True).stdout
        return nodes, out.split(), os.environ["PARSL_NUM_NODES"]

    app: Callable[..., Any] = python_app(launch)
    with loaded(tmp_path, declared_nodes=4, cores_per_node=1):
        wanted = [1, 1, 4]
        futures = [app(n, parsl_resource_specification={"num_nodes": n, "ranks_per_node": 1}) for n in wanted]
        assert [f.result(TIMEOUT) for f in futures] == [(n, ["here"] * n, str(n)) for n in wanted]


def test_nodes_alone_take_a_rank_on_each_core(tmp_path: Path) -> None:
    @python_app
    @annotate(MPI(num_nodes=2), Policy(returns="all"))
    def sizes(comm: Any = None) -> int:
        return int(comm.size)

    with loaded(tmp_path, declared_nodes=2, cores_per_node=2):
        assert sizes().result(TIMEOUT) == [4, 4, 4, 4]


def test_a_smaller_world(tmp_path: Path) -> None:
    """Four cores, two ranks: the second job waits for the first one's ranks."""
    with loaded(tmp_path, runtimes=[MPIRuntime(world_ranks=2)]):
        futures = [python_app(nap)(0.2) for _ in range(3)]
        assert all(len(future.result(TIMEOUT)) == 2 for future in futures)
        with pytest.raises(Exception, match="has 2 ranks"):
            python_app(total)(1, parsl_resource_specification={"num_ranks": 3}).result(TIMEOUT)
