"""Something is used up: a typed error in seconds, no endless starts, nothing left behind, later tasks served."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from testing.scarce import needs_mounts, on_small_disks
from testing.unprivileged import UID, as_nobody

_SITE = """
import os, threading
words = open("/proc/self/cmdline").read()
ours = "rhapsody_parsl.worker\\0", "runtimes.dragon.worker\\0", "runtimes.mpi.world.rank\\0"
if any(each in words for each in ours) and os.path.exists(os.environ["HANG"]):
    threading.Event().wait()
"""


def _run(scenario: str, command: Sequence[str], cwd: Path, **env: str) -> dict[str, Any]:
    """Run a scenario and return what it found."""
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **env}, capture_output=True, text=True, timeout=150, check=False
    )
    assert done.returncode == 0, f"{scenario}: {done.stdout[-2000:]} {done.stderr[-4000:]}"
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _scenario(name: str) -> list[str]:
    return [sys.executable, "-c", f"from tests.integration.starved import main; main({name!r})"]  # tasks import it too


@needs_mounts
def test_full_shared_memory_costs_what_needs_it_and_nothing_is_left(tmp_path: Path) -> None:
    command = on_small_disks(_scenario("full_memory"), {"/dev/shm": "48m"})  # noqa: S108 - of its own
    found = _run("full_memory", command, tmp_path)
    assert (found["local"], found["large"], found["launch"]) == (1, 1_000_000, 2)
    for way in "mpi", "dragon":
        kind, words = found[way]
        assert kind == "BackendFailed"
        assert "shm has 0 MB free" in words
    assert found["left"] == []
    assert found["seconds"] < 60


@needs_mounts
def test_small_shared_memory_is_enough_for_every_runtime(tmp_path: Path) -> None:
    command = on_small_disks(_scenario("small_memory"), {"/dev/shm": "2g"})  # noqa: S108 - of its own
    found = _run("small_memory", command, tmp_path)
    assert (found["local"], found["mpi"], found["dragon"]) == (1, 2, 1)


@needs_mounts
def test_full_folders_for_files_and_for_logs_stop_no_task(tmp_path: Path) -> None:
    place, run = tmp_path / ("t" * 120), tmp_path / ("r" * 120)
    disks = {str(place): "2m", str(run): "8m"}
    command = on_small_disks(["sh", "-c", 'cd "$0" && exec "$@"', str(run), *_scenario("full_places")], disks)
    found = _run("full_places", command, tmp_path, TMPDIR=str(place))
    assert (found["local"], found["mpi"], found["dragon"]) == (1, 2, 1)
    assert found["own"][0] == "OSError"
    assert "No space left" in found["own"][1]


@needs_mounts
def test_a_run_directory_without_room_is_named_at_the_start(tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = ["sh", "-c", 'cd "$0" && exec "$@"', str(run), *_scenario("full_run_directory")]
    found = _run("full_run_directory", on_small_disks(command, {str(run): "64k"}), tmp_path)
    kind, words = found["start"]
    assert kind == "Unwritable"
    assert f"{run}/runinfo/000/x" in words
    assert "Config(run_dir=...)" in words


def test_what_never_gets_ready_is_ended(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(_SITE)
    hang = tmp_path / "hang"
    hang.touch()
    path = os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]])
    found = _run("never_ready", _scenario("never_ready"), tmp_path, PYTHONPATH=path, HANG=str(hang))
    for way in "local", "mpi", "dragon":
        kind, words = found[way]
        assert kind == "BackendFailed"
        assert "startup_timeout=" in words
    assert found["later"] == {"local": 1, "mpi": 2, "dragon": 1}


@pytest.mark.skipif(os.geteuid() != 0, reason="a process limit binds no root, and only root can become somebody else")
def test_the_process_limit_ends_no_block() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="rh-nobody-") as folder:
        os.chown(folder, UID, UID)
        command = as_nobody(_scenario("few_processes"))
        found = _run("few_processes", command, Path(folder), HOME=folder, TMPDIR=folder)
    assert found["local"] == 1  # its worker was there
    for way in "mpi", "dragon":
        kind, words = found[way]
        assert kind == "BackendFailed"
        assert "ulimit -u" in words
    assert all(each[0] != "WorkerLost" for each in found["many"])
    assert found["later"] == {"local": 1, "mpi": 2, "dragon": 1}


def test_the_soft_limit_of_open_files_is_raised_and_tasks_have_the_jobs(tmp_path: Path) -> None:
    found = _run("few_files", _scenario("few_files"), tmp_path, HARD="4096", CORES="12")
    assert found["local"] == found["dragon"] == [[64, 4096]] * 12


def test_two_hundred_workers_run_where_the_soft_limit_is_256(tmp_path: Path) -> None:
    told = _run("many_workers", _scenario("many_workers"), tmp_path, HARD="4096", CORES="200")["told"]
    assert len({pid for pid, _ in told}) == 200  # all were there at once: no worker leaves between its tasks
    assert {limit for _, limit in told} == {256}


def test_two_hundred_workers_are_refused_in_a_sentence_where_the_hard_limit_is_300(tmp_path: Path) -> None:
    told = _run("many_workers", _scenario("many_workers"), tmp_path, HARD="300", CORES="200")["told"]
    assert len(told) == 200
    (words,) = {words for _, words in told}
    assert "TooFewOpenFiles: The pilot of a block of 1 hosts and 200 cores needs" in words
    assert "the hard limit is 300 (ulimit -Hn): raise it, or use smaller blocks." in words
    assert "Traceback" not in words
