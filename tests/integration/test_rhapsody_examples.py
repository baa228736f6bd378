"""The counterparts of RHAPSODY's examples run, and say what they show."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from testing import fake_openai, leaks

pytestmark = [pytest.mark.dragon, pytest.mark.mpi]

FOLDER = Path(__file__).parents[2] / "examples" / "rhapsody"
SERVER = f"{shlex.quote(sys.executable)} {shlex.quote(fake_openai.__file__)} {{host}} {{port}} {{api_key}} {{model}}"
SAYS = {
    "ai_hpc.py": (
        r"one prompt: \?ecnarF .*\ntwo prompts: \['ekoj a em lleT', '\?2\+2 .*\]\na program: Hello from a program\n$"
    ),
    "chains.py": r"256 workflows; the first: \{'sum': 4950, 'even': 50\}\n$",
    "gather.py": r"1024 tasks; the last said: hello from function 1023\n$",
    "hello.py": r"0 Hello from task 1 on \S+\n0 Hello from task 2 on \S+\n$",
    "heterogeneous.py": (
        r"two processes: True\nprogram: one process\nfunction on ranks: \['rank 0 of 2', 'rank 1 of 2'\]\n"
        r"program on ranks: \['one rank of a program', 'one rank of a program'\]\n$"
    ),
    "many_forms.py": r"done: 30, failed: 0\n\[0, 1, 4, .*, 81\]\ntask 9\n$",
    "mpi.py": r"pi is about 3\.14159265\n2 ranks said hello\n$",
    "pinning.py": r"each task is pinned to its own core: \[\[\d+\], \[\d+\]\]\n$",
    "placement.py": r"pack: one node\nspread: two nodes\nnear: one node\n$",
    "several_services.py": (
        r"through an app: '\?ecnarF .*'\nover HTTP from first: 2 answers\nover HTTP from second: 2 answers\n$"
    ),
    "telemetry.py": r"(queued and running: .*\n)+done: 10 failed: 0\ncore seconds held: [2-9]\.\d\n$",
    "throughput.py": r"dragon: [\d,]+ tasks per second, [\d.]+ ms for one\nlocal: [\d,]+ tasks per second, .*\n$",
}
"""What each example prints, whole."""
MODELS = {"ai_hpc.py", "several_services.py"}
HELPERS = {"models.py"}


@pytest.mark.parametrize("name", SAYS)
def test_it_says_what_it_shows(name: str, tmp_path: Path) -> None:
    options = ["--server", SERVER] if name in MODELS else []
    with leaks.watch():
        done = subprocess.run(
            [sys.executable, str(FOLDER / name), *options],
            check=False, cwd=tmp_path, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert re.match(SAYS[name], done.stdout), done.stdout


def test_each_is_run_and_listed() -> None:
    names = {path.name for path in FOLDER.glob("*.py")} - HELPERS
    assert names == set(SAYS)
    table = (FOLDER / "README.md").read_text()
    assert names == set(re.findall(r"^\| `(\w+\.py)`", table, re.M))
