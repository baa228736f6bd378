"""No more launches of MPI programs run at once than a block may have."""

from pathlib import Path

import pytest
from parsl import bash_app, python_app

from rhapsody_parsl import MPI, annotate
from tests.integration.gangs import TIMEOUT, loaded, total

pytestmark = pytest.mark.mpi


def test_launches_above_the_limit_wait_and_functions_do_not(tmp_path: Path) -> None:
    @bash_app
    @annotate(MPI(ranks=1))
    def launch(number: int, folder: str, stdout: str = "") -> str:
        alone = f"mkdir {folder}/turn && sleep 0.2 && rmdir {folder}/turn"  # a folder that is there cannot be made
        return f"$PARSL_MPI_PREFIX sh -c '{alone} && echo {number}'"

    with loaded(tmp_path / "run", max_launches=1):
        outs = [tmp_path / f"out{number}" for number in range(4)]
        futures = [launch(number, str(tmp_path), stdout=str(out)) for number, out in enumerate(outs)]
        assert python_app(total)(1).result(TIMEOUT) == 2
        assert [future.result(TIMEOUT) for future in futures] == [0, 0, 0, 0]
    assert [out.read_text() for out in outs] == ["0\n", "1\n", "2\n", "3\n"]
