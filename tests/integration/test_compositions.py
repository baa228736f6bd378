"""Programs that others compose over Parsl, with this executor in the place of theirs and nothing else changed."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from parsl import Config
from parsl.concurrent import ParslPoolExecutor

from rhapsody_parsl import LocalRuntime, RhapsodyExecutor
from tests.integration import tiles

ROOT = Path(__file__).parents[2]
TIMEOUT = 60


def test_a_thinker_of_colmenas_steers_a_forked_task_server(tmp_path: Path) -> None:
    pytest.importorskip("colmena")
    program = [sys.executable, str(ROOT / "tests" / "integration" / "colmena_search.py")]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}  # Colmena keeps the folders of its programs
    said = subprocess.run(
        program, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=TIMEOUT
    )
    assert said.stdout == "height 4 at 3, elsewhere: True\n", said.stderr
    assert said.returncode == 0


def test_a_tiled_cholesky_over_parsls_pool_as_taps_has_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    matrix = rng.standard_normal((24, 24))
    matrix = matrix @ matrix.T + 24 * np.eye(24)
    executor = RhapsodyExecutor(label="tiles", runtimes=[LocalRuntime()], cores_per_node=2)
    config = Config([executor], run_dir=str(tmp_path), initialize_logging=False, strategy="none")
    with ParslPoolExecutor(config) as pool:
        lower = tiles.factored(pool, matrix, side=6)
        assert list(pool.map(tiles.trace, [matrix, lower])) == [np.trace(matrix), np.trace(lower)]
    np.testing.assert_allclose(lower @ lower.T, matrix)
