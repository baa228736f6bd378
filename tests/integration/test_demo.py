"""The main job ends well, however it ends: small and with a tiny random model, but with all its runtimes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from testing import leaks
from testing.tiny_llama import write_tiny_llama
from testing.waiting import until

ROOT = Path(__file__).parents[2]
RUNTIMES = ("dragon", "mpi", "vllm")
SMALL = ("--temperatures", "0.55,0.70", "--steps", "1000")

pytestmark = [pytest.mark.dragon, pytest.mark.mpi, pytest.mark.vllm, pytest.mark.timeout(240)]


@pytest.fixture
def demo(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """Start the demo in a terminal's process group of its own."""
    model = write_tiny_llama(tmp_path / "model")
    words = [sys.executable, str(ROOT / "examples" / "melting_point.py"), "--quick", *SMALL, "--model", str(model)]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    process = subprocess.Popen(
        [*words, "--out", str(tmp_path / "out")],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env=environment,
    )
    yield process
    process.kill()
    if process.stdout:
        process.stdout.close()
    process.wait()


def until_all_run(out: Path) -> None:
    """Wait until every runtime is up; the engine is loading its model or has it."""

    def up() -> bool:
        logs = "".join(log.read_text() for log in out.glob("runinfo/*/*/block-0.log"))
        return all(f"runtime {name}: ready" in logs for name in RUNTIMES)

    until(up, 120)


def test_ctrl_c_stops_everything_within_ten_seconds(demo: "subprocess.Popen[str]", tmp_path: Path) -> None:
    until_all_run(tmp_path / "out")
    began = time.monotonic()
    os.killpg(demo.pid, signal.SIGINT)
    output, _ = demo.communicate(timeout=30)
    assert time.monotonic() - began < 10
    assert demo.returncode == 130
    assert output.strip().splitlines()[-1] == "Interrupted: everything that was started has been stopped."
    assert "Traceback" not in output
    assert not leaks.below(), "something still runs"


def test_kill_of_the_driver_leaves_nothing(demo: "subprocess.Popen[str]", tmp_path: Path) -> None:
    until_all_run(tmp_path / "out")
    demo.kill()
    demo.wait()
    until(lambda: not leaks.below(), 15)
    # the fixture of all tests looks at /dev/shm and ports


def test_it_says_what_it_does_and_ends_with_the_temperature_and_how_to_look(demo: "subprocess.Popen[str]") -> None:
    output, _ = demo.communicate(timeout=200)
    assert demo.returncode == 0, output[-3000:]
    for said in ("4 LAMMPS runs", "each on 2 MPI ranks", "the model is asked", "the model picks", "by an MPI function"):
        assert said in " ".join(output.split()), said
    *_, page, live = output.strip().splitlines()
    assert [Path(line.split(": ")[1].split()[0]).exists() for line in (page, live)] == [True, True]
    assert ("rhapsody-parsl report" in page, "rhapsody-parsl top" in live) == (True, True)
    assert "Melting temperature" in output
    assert "±" in output
    assert "Literature" in output
