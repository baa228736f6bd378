"""The tutorial's notebooks run, cell after cell, and print what they show."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from testing import leaks

pytestmark = [pytest.mark.dragon, pytest.mark.mpi]

FOLDER = Path(__file__).parents[2] / "docs" / "tutorial"
RUN = """
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], 4)
NotebookClient(notebook, timeout=240, kernel_name="python3").execute()
nbformat.write(notebook, sys.argv[2])
"""


def printed(notebook: Path) -> list[str]:
    """Return what each cell printed."""
    cells = json.loads(notebook.read_text())["cells"]
    outputs = [cell["outputs"] for cell in cells if cell["cell_type"] == "code"]
    return ["".join("".join(each.get("text", "")) for each in output) for output in outputs]


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.ipynb")))
def test_it_prints_what_it_shows(name: str, tmp_path: Path) -> None:
    ran = tmp_path / "ran.ipynb"
    with leaks.watch():
        done = subprocess.run(
            [sys.executable, "-c", RUN, str(FOLDER / f"{name}.ipynb"), str(ran)],
            check=False, cwd=tmp_path, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert printed(ran) == printed(FOLDER / f"{name}.ipynb")
