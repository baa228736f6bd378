"""Tasks see the GPUs that they leased and no others. Where there is an Nvidia GPU, and torch: they compute on it.

A process whose CUDA found no GPU once finds none for the rest of its life, and one that has used a GPU keeps to it.
"""

import importlib.util
import os
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import parsl
import pytest
from parsl import Config, bash_app, python_app
from parsl.executors.errors import InvalidResourceSpecification
from parsl.providers import LocalProvider

from rhapsody_parsl import (
    MPI,
    DragonRuntime,
    LocalRuntime,
    MPIRuntime,
    RhapsodyExecutor,
    VLLMService,
    annotate,
)
from rhapsody_parsl.hosts.probe import our_gpus
from testing import leaks
from testing.fake_openai import COMMAND

VENDOR, GPUS = our_gpus(os.environ)

pytestmark = [pytest.mark.dragon, pytest.mark.mpi, pytest.mark.timeout(240)]

TORCH = importlib.util.find_spec("torch")


def real(test: Any) -> Any:
    """Mark a test that needs a GPU."""
    absent = not (GPUS and VENDOR == "nvidia" and TORCH)
    return pytest.mark.gpu(pytest.mark.skipif(absent, reason="no Nvidia GPU, or no torch")(test))


RUNTIMES = ["local", "dragon"]
SUM = 4950.0
TIMEOUT = 120


@pytest.fixture(scope="module")
def executor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RhapsodyExecutor]:
    folder = tmp_path_factory.mktemp("gpu")
    made = RhapsodyExecutor(
        label="gpu",
        runtimes=[LocalRuntime(), DragonRuntime(), MPIRuntime(world_ranks=2)],
        provider=LocalProvider(init_blocks=1, max_blocks=1),
    )
    config = Config(
        executors=[made], run_dir=str(folder / "run"), strategy="none", usage_tracking=0, initialize_logging=False
    )  # its log would keep what a later test has to let go of
    with leaks.watch(), parsl.load(config):
        yield made


@pytest.fixture(autouse=True)
def nothing_left_behind() -> None:
    """Watch the module instead (in `executor`): workers stay between tests."""


def compute(comm: Any = None) -> tuple[str | None, int, float, float, float]:
    """Return what we are told and see of GPUs, a sum computed there (or on a core), and when."""
    import os
    import time

    import torch

    began = time.time()
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    total = float(torch.arange(100, dtype=torch.float64, device="cuda" if count else "cpu").sum())
    return os.environ.get("CUDA_VISIBLE_DEVICES"), count, total, began, time.time()


@python_app
def task(parsl_resource_specification: dict[str, Any] | None = None) -> Any:
    return compute()


@python_app
def gang(comm: Any = None, parsl_resource_specification: dict[str, Any] | None = None) -> Any:
    return comm.gather(compute())


def told(runtime: str, **spec: Any) -> Any:
    return task(parsl_resource_specification={"runtime": runtime, **spec})


@real
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_task_computes_on_the_gpu_that_it_leased(executor: RhapsodyExecutor, runtime: str) -> None:
    variable, count, total, *_ = told(runtime, gpus=1).result(TIMEOUT)
    assert (variable in GPUS, count, total) == (True, 1, SUM)
    assert told(runtime, gpus=1, isolation="process").result(TIMEOUT)[1:3] == (1, SUM)


@real
@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("isolation", ["shared", "process"])
def test_a_task_without_gpus_sees_none_and_leaves_later_ones_theirs(
    executor: RhapsodyExecutor, runtime: str, isolation: str
) -> None:
    for spec, expected in (({}, ("", 0, SUM)), ({"gpus": 1}, (GPUS[0], 1, SUM)), ({}, ("", 0, SUM))):
        assert told(runtime, isolation=isolation, **spec).result(TIMEOUT)[:3] == expected


@real
def test_tasks_of_several_runtimes_never_meet_on_a_gpu(executor: RhapsodyExecutor) -> None:
    futures = [told(runtime, gpus=len(GPUS)) for runtime in RUNTIMES * 4]
    times = sorted(future.result(TIMEOUT)[3:] for future in futures)
    assert all(end <= begin for (_, end), (begin, _) in pairwise(times))


@real
def test_shares_of_a_gpu_meet_on_it(executor: RhapsodyExecutor) -> None:
    futures = [told("local", gpus=0.5) for _ in range(2)]
    assert [future.result(TIMEOUT)[:3] for future in futures] == [(GPUS[0], 1, SUM)] * 2


@real
@pytest.mark.parametrize("isolation", ["shared", "process"])
def test_ranks_of_a_function_see_theirs(executor: RhapsodyExecutor, isolation: str) -> None:
    for share, expected in ((0, ("", 0, SUM)), (len(GPUS) / 2, (GPUS[0], max(1, len(GPUS) // 2), SUM))):
        spec = {"num_ranks": 2, "gpus_per_rank": share, "isolation": isolation}
        first, second = gang(parsl_resource_specification=spec).result(TIMEOUT)
        assert first[:3] == expected
        assert second[1:3] == expected[1:]


PROGRAM = """
import os, torch
from mpi4py import MPI
count = torch.cuda.device_count() if torch.cuda.is_available() else 0
total = float(torch.arange(100, device="cuda" if count else "cpu").sum())
said = MPI.COMM_WORLD.gather((os.environ.get("CUDA_VISIBLE_DEVICES"), count, total))
if said:
    print(said)
"""


@real
@pytest.mark.parametrize("share", [0, 0.5])
def test_ranks_of_an_executable_see_theirs(executor: RhapsodyExecutor, tmp_path: Path, share: float) -> None:
    @bash_app
    @annotate(MPI(ranks=2, gpus_per_rank=share))
    def launch(program: str, stdout: str = "") -> str:
        import sys

        return f"$PARSL_MPI_PREFIX {sys.executable} {program}"

    program, out = tmp_path / "program.py", tmp_path / "out"
    program.write_text(PROGRAM)
    assert launch(str(program), stdout=str(out)).result(TIMEOUT) == 0
    each = (GPUS[0], 1, SUM) if share else ("", 0, SUM)
    assert out.read_text().strip() == str([each, each])


@real
def test_more_than_there_are_is_refused(executor: RhapsodyExecutor) -> None:
    told("local").result(TIMEOUT)
    error = told("local", gpus=len(GPUS) + 1).exception(TIMEOUT)
    assert isinstance(error, InvalidResourceSpecification)
    assert f"the largest node has {len(GPUS)} for tasks. Ask for {len(GPUS)} at most" in str(error)


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("runtime", ["local", "dragon", "mpi"])
def test_a_process_is_shown_one_set_of_gpus_in_its_life(runtime: str) -> None:
    runtimes = [{"local": LocalRuntime, "dragon": DragonRuntime, "mpi": MPIRuntime}[runtime]()]
    block = RhapsodyExecutor(label="declared", runtimes=runtimes, cores_per_node=4, gpus_per_node=2)
    seen = defaultdict(set)

    def put(gpus: int) -> set[int]:
        """Run with so many of the two; return the processes."""
        of_ranks = {"num_ranks": 2, "gpus_per_rank": gpus / 2, "isolation": "shared"}
        spec = of_ranks if runtime == "mpi" else {"gpus": gpus}
        each = block.submit(shown_to_ranks if runtime == "mpi" else shown, spec).result(TIMEOUT)
        for pid, variable in each:
            seen[pid].add(variable)
        return {pid for pid, _ in each}

    with leaks.watch(), block:
        none, one, both = put(0), put(1), put(2)
        assert (put(0), put(2)) == (none, both)
        assert not put(1) & (one | both)  # what had some of the GPUs among others has left
    assert all(len(variables) == 1 for variables in seen.values())
    assert {"", "0"} <= set().union(*seen.values())


@pytest.fixture(scope="module")
def declared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RhapsodyExecutor]:
    """A block of four cores and two GPUs, whatever there is."""
    made = RhapsodyExecutor(label="ranks", runtimes=[MPIRuntime()], cores_per_node=4, gpus_per_node=2)
    config = Config(
        executors=[made], run_dir=str(tmp_path_factory.mktemp("ranks")), usage_tracking=0, initialize_logging=False
    )
    with leaks.watch(), parsl.load(config):
        yield made


def test_a_function_that_uses_gpus_on_ranks_has_fresh_ones(declared: RhapsodyExecutor) -> None:
    """What libraries keep of a GPU goes with them; whoever wants them to stay says so."""

    def ranks(**keys: Any) -> set[int]:
        each = declared.submit(shown_to_ranks, {"num_ranks": 2, "gpus_per_rank": 0.5, **keys}).result(TIMEOUT)
        assert [variable for _, variable in each] == ["0", "0"]
        return {pid for pid, _ in each}

    assert not ranks() & ranks()
    assert ranks(isolation="shared") == ranks(isolation="shared")


PART = "import os; print(os.environ['RANK'], repr(os.environ['CUDA_VISIBLE_DEVICES']))"


@pytest.mark.usefixtures("declared")
def test_gpus_of_groups_are_leased_apart_and_a_group_without_holds_none(tmp_path: Path) -> None:
    """Three ranks, and a node with two GPUs."""

    @bash_app
    @annotate(MPI(groups=[{"ranks": 1}, {"ranks": 1, "gpus": False}, {"ranks": 1}], gpus_per_rank=1))
    def coupled(program: str, stdout: str = "") -> str:
        import sys

        return "$PARSL_MPI_PREFIX " + " : ".join([f"{sys.executable} {program}"] * 3)

    (tmp_path / "part.py").write_text(PART)
    out = tmp_path / "out"
    assert coupled(str(tmp_path / "part.py"), stdout=str(out)).result(TIMEOUT) == 0
    assert sorted(out.read_text().splitlines()) == ["0 '0'", "1 ''", "2 '1'"]


@pytest.mark.usefixtures("elsewhere")
def test_the_body_of_a_request_is_shown_no_gpu() -> None:
    """It leases none."""
    service = VLLMService("echo", "m", cores=0, server="command", executable=COMMAND)
    block = RhapsodyExecutor(label="bodies", runtimes=[], services=[service], cores_per_node=4, gpus_per_node=2)
    with leaks.watch(), block:
        backwards = block.submit(prompt_of_shown, {"service": "echo"}).result(TIMEOUT)
    assert backwards[::-1] == "shown: ''"


def prompt_of_shown() -> str:
    return f"shown: {os.environ.get('CUDA_VISIBLE_DEVICES')!r}"


def shown() -> list[tuple[int, str]]:
    return [(os.getpid(), os.environ["CUDA_VISIBLE_DEVICES"])]


def shown_to_ranks(comm: Any = None) -> Any:
    return comm.allgather(shown()[0])
