"""Gangs find torch.distributed's rendezvous: functions on ranks, and programs of a launch."""

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from parsl import bash_app

from rhapsody_parsl import RhapsodyExecutor
from rhapsody_parsl.errors import WorkerLost
from tests.integration import apps, training
from tests.integration.gangs import loaded

pytestmark = pytest.mark.mpi
TIMEOUT = 120
RANKS = {"num_ranks": 2}
PROGRAM = f"{shlex.quote(sys.executable)} {shlex.quote(training.__file__)}"


@pytest.fixture(scope="module")
def block(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RhapsodyExecutor]:
    with loaded(tmp_path_factory.mktemp("training"), cores_per_node=2) as dfk:
        yield dfk.executors["mpi"]


def _text(line: str, **keys: Any) -> Any:
    spec = {**RANKS, "output": "text", **keys}
    return bash_app(apps.shell)(line, parsl_resource_specification=spec).result(TIMEOUT)


@pytest.mark.parametrize("isolation", ["shared", "process"])
def test_functions_train_one_model_together_again_and_again(isolation: str, block: RhapsodyExecutor) -> None:
    pytest.importorskip("torch")
    found = [block.submit(training.step, {**RANKS, "isolation": isolation}).result(TIMEOUT) for _ in range(2)]
    assert found[0] == found[1]
    assert found[0][0] == 2


def test_programs_train_one_model_together(block: RhapsodyExecutor) -> None:
    pytest.importorskip("torch")
    wanted = block.submit(training.step, RANKS).result(TIMEOUT)
    assert _text(f"$PARSL_MPI_PREFIX {PROGRAM}").stdout == f"{wanted}\n"


def test_torchrun_as_a_program_meets_where_the_gang_does(block: RhapsodyExecutor, tmp_path: Path) -> None:
    """The line is the recipe of the page: one `torchrun` per node, which starts the ranks of its node."""
    pytest.importorskip("torch")
    line = (
        "$PARSL_MPI_PREFIX torchrun --nnodes=$PARSL_NUM_NODES --nproc-per-node=$OMP_NUM_THREADS --rdzv-backend=c10d "
        f"--rdzv-endpoint=$MASTER_ADDR:$MASTER_PORT --log-dir={tmp_path} {shlex.quote(training.__file__)}"
    )
    said = _text(line, num_ranks=1, cores_per_rank=2)
    assert said.stdout.startswith("[2, "), said.stderr


def test_a_rank_that_dies_is_named_whatever_the_others_raise_then(block: RhapsodyExecutor, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    (tmp_path / "go").touch()
    error = block.submit(training.endless, RANKS, str(tmp_path), 1).exception(TIMEOUT)
    assert isinstance(error, WorkerLost)
    assert "(rank 1 of 2 of 'endless')" in str(error)
    assert block.submit(training.rendezvous, RANKS).result(TIMEOUT)[0] == "0"


def test_the_task_raises_the_cause_and_not_what_the_cause_made_other_ranks_raise(block: RhapsodyExecutor) -> None:
    pytest.importorskip("torch")
    for _ in range(2):  # the ranks are as good as before
        error = block.submit(training.broken, RANKS, 1).exception(TIMEOUT)
        assert isinstance(error, ValueError), error
        assert (str(error), error.__notes__[0].startswith("Raised by rank 1 of 2")) == ("a broken sample", True)


def test_each_task_has_a_port_of_its_own_that_is_kept(block: RhapsodyExecutor) -> None:
    first, second = (block.submit(training.port, RANKS) for _ in range(2))
    assert first.result(TIMEOUT) != second.result(TIMEOUT)
    line = "exec 3<>/dev/tcp/127.0.0.1/$MASTER_PORT"  # nobody listens there
    assert _text(line, check=False).returncode != 0


def test_ranks_of_a_launch_know_who_they_are(block: RhapsodyExecutor) -> None:
    names = ("MASTER_ADDR", "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "NODE_RANK", "GROUP_RANK")
    said = _text(f"$PARSL_MPI_PREFIX sh -c 'echo {' '.join(f'${name}' for name in names)}'").stdout
    assert sorted(said.splitlines()) == ["127.0.0.1 0 2 0 2 0 0", "127.0.0.1 1 2 1 2 0 0"]
