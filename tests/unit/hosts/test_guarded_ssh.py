"""A program that finds our `ssh` first gets the real one, and what it starts is under guard on the other side."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rhapsody_parsl.hosts.guarded_ssh import script
from testing.processes import below, command_of
from testing.waiting import alive, until

SSHD = '#!/bin/sh\necho "$@" >> "$0.calls"\nfor command; do :; done\nsh -c "$command"\nexit $?\n'
"""Stands for ssh and sshd: as theirs, its end is the end of the command's parent."""


def write(path: Path, text: str) -> None:
    path.parent.mkdir()
    path.write_text(text)
    path.chmod(0o700)


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """Both are on the PATH, ours first."""
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    write(ours / "ssh", script(sys.executable, str(ours), ["--grace", "0.2", "--sweep", f"{tmp_path}/left-*"]))
    write(theirs / "ssh", SSHD)
    return {"PATH": f"{ours}:{theirs}:{os.environ['PATH']}"}


def test_the_command_is_the_same_and_its_path_is_without_ours(tmp_path: Path, env: dict[str, str]) -> None:
    command = f"cd {tmp_path} && PATH={env['PATH']} A='x  y' sh -c 'pwd; echo \"$A\"; echo $PATH; exit 3'"
    call = ["ssh", "-oBatchMode=yes", "far", command]
    ended = subprocess.run(call, env=env, capture_output=True, text=True, timeout=20, check=False)
    assert ended.returncode == 3
    assert ended.stdout.splitlines() == [str(tmp_path), "x  y", env["PATH"].partition(":")[2]]
    assert (tmp_path / "theirs/ssh.calls").read_text().startswith("-oBatchMode=yes far exec ")


@pytest.mark.parametrize("which", [0, 1])
def test_a_guard_that_is_killed_leaves_its_work_to_the_other(tmp_path: Path, env: dict[str, str], which: int) -> None:
    note = tmp_path / "pid"
    command = f"touch {tmp_path}/left-1; setsid sh -c 'echo $$ > {note}; exec sleep 60' & sleep 60"
    with subprocess.Popen(["ssh", "far", command], env=env) as client:  # noqa: S607 - as above
        until(lambda: note.exists() and note.read_text(), 20)
        guards = [
            process for process in below("guard.py", client.pid) if command_of(process).startswith(sys.executable)
        ]
        assert len(guards) == 2
        guards[which].kill()
        until(lambda: not alive(int(note.read_text())), 10)
        until(lambda: not (tmp_path / "left-1").exists(), 10)


def test_with_the_connection_all_ends_and_is_swept(tmp_path: Path, env: dict[str, str]) -> None:
    note = tmp_path / "pid"
    command = f"touch {tmp_path}/left-1; setsid sh -c 'echo $$ > {note}; exec sleep 60' & sleep 60"
    client = subprocess.Popen(["ssh", "far", command], env=env)  # noqa: S607 - found on the PATH, as the program would
    until(lambda: note.exists() and note.read_text(), 20)
    client.kill()
    client.wait()
    until(lambda: not alive(int(note.read_text())), 10)
    until(lambda: not (tmp_path / "left-1").exists(), 10)
