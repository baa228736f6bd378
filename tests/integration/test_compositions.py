"""Programs that others compose over Parsl, with this executor in the place of theirs and nothing else changed."""

import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

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


def pool_of_ours(folder: Path) -> ParslPoolExecutor:
    executor = RhapsodyExecutor(label="tiles", runtimes=[LocalRuntime()], cores_per_node=2)
    return ParslPoolExecutor(Config([executor], run_dir=str(folder), initialize_logging=False, strategy="none"))


def test_a_tiled_cholesky_over_parsls_pool_as_taps_has_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    matrix = rng.standard_normal((24, 24))
    matrix = matrix @ matrix.T + 24 * np.eye(24)
    with pool_of_ours(tmp_path) as pool:
        lower = tiles.factored(pool, matrix, side=6)
        assert list(pool.map(tiles.trace, [matrix, lower])) == [np.trace(matrix), np.trace(lower)]
    np.testing.assert_allclose(lower @ lower.T, matrix)


def test_the_cholesky_of_taps_gives_what_it_gives_on_threads(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    taps: Any = pytest.importorskip("taps.apps.cholesky", reason="TaPS is in no registry: github.com/proxystore/taps")
    threads: Any = pytest.importorskip("taps.executor.python").ThreadPoolConfig(max_threads=2)

    logged = []
    for executor in (threads.get_executor(), pool_of_ours(tmp_path)):
        np.random.seed(7)
        with caplog.at_level(logging.INFO, "taps.apps"), taps.Engine(executor) as engine:
            taps.CholeskyApp(matrix_size=8, block_size=2).run(engine, tmp_path)
        logged.append([record.message for record in caplog.records if "\n[[" in record.message])
        caplog.clear()
    assert len(logged[0]) == 2, "the matrix and its factor"
    assert logged[0] == logged[1]
