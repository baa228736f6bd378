"""Ranks in a job of Flux's: its resources, and that it ends with who holds it. Flux's answers are as 0.88 gave them."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rhapsody_parsl.runtimes.mpi.launch.flux_run import resources
from testing import leaks
from testing.processes import below
from testing.waiting import until

FLUX = """#!/bin/sh
echo "$@" >> "$LOG"
case "$*" in
    "jobtap load alloc-bypass.so") echo "flux-jobtap: ERROR: $JOBTAP" >&2; exit 1 ;;
    "hostlist --expand instance") echo vn1 vn2 vn3 ;;
    submit*) echo ƒ6Qzatis ;;
    "job attach"*) echo out; [ -z "$WAIT" ] || exec sleep 60; exit 3 ;;
esac
"""
R = (
    '{"version":1,"execution":{"R_lite":[{"rank":"0","children":{"core":"0"}},{"rank":"2","children":{"core":"0,1"}}],'
    '"nodelist":["vn1,vn3"],"starttime":0,"expiration":0}}'
)


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    with leaks.watch(5.0):
        yield


def start(folder: Path, jobtap: str = "alloc-bypass.so already loaded", **env: str) -> "subprocess.Popen[str]":
    program = folder / "flux"
    program.write_text(FLUX)
    program.chmod(0o755)
    words = [sys.executable, "-m", "rhapsody_parsl.runtimes.mpi.launch.flux_run", "--hold", str(program), "vn1:1,vn3:2"]
    paths = {"PATH": f"{folder}:{os.environ['PATH']}", "LOG": str(folder / "log")}
    return subprocess.Popen(
        [*words, "-n", "3", "prog"], env={**os.environ, **paths, "JOBTAP": jobtap, **env}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def asked(folder: Path) -> list[str]:
    log = folder / "log"
    return log.read_text().splitlines() if log.exists() else []


def test_resources_follow_the_ranks_of_the_brokers() -> None:
    """Flux accepted this one, and put one rank on vn1 and two on vn3."""
    assert resources("vn3.site:2,vn1:1", ["vn1", "vn2", "vn3"]) == R
    assert json.loads(R)


def test_a_job_that_ends_by_itself_is_not_cancelled(tmp_path: Path) -> None:
    process = start(tmp_path)
    assert process.communicate(timeout=20) == ("out\n", "")
    assert process.returncode == 3
    assert asked(tmp_path)[2:] == [f"submit --setattr=system.alloc-bypass.R={R} -n 3 prog", "job attach ƒ6Qzatis"]


def test_a_job_whose_holder_is_killed_is_cancelled(tmp_path: Path) -> None:
    process = start(tmp_path, WAIT="yes")
    until(lambda: "job attach ƒ6Qzatis" in asked(tmp_path), 20)
    (attached,) = below("sleep 60", process.pid)
    process.kill()
    until(lambda: "job kill --signal=SIGKILL ƒ6Qzatis" in asked(tmp_path), 20)
    assert "job raise --severity=0 --type=cancel ƒ6Qzatis" in asked(tmp_path)
    attached.kill()  # in earnest it ends with the job
    process.communicate(timeout=20)


def test_an_instance_that_is_not_ours_is_told(tmp_path: Path) -> None:
    process = start(tmp_path, jobtap="Request requires owner credentials")
    _, said = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "owner credentials" in said
    assert "a Flux instance of one's own" in said
    assert not any(line.startswith("submit") for line in asked(tmp_path))
