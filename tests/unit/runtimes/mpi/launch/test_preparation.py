"""What the script before a rank says, and does, when the rank fails."""

import fcntl
import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from rhapsody_parsl.runtimes.mpi.launch.launcher import Kind, Launcher
from rhapsody_parsl.runtimes.mpi.launch.places import Place
from rhapsody_parsl.runtimes.mpi.launch.preparation import preparing

PLACES = (Place("a", ((0,), (1,))), Place("b", ((0,),)))
HOST = os.uname().nodename


def ran(kind: Kind, program: list[str], line: tuple[str, ...] = ()) -> tuple[int, str, bytes]:
    """Run a program as rank 1; return its exit code, its standard error, and what the launcher heard."""
    ours, theirs = socket.socketpair()
    number = fcntl.fcntl(theirs, fcntl.F_DUPFD, 10)  # a shell's own redirections know no number of two digits
    theirs.close()
    environment = {**os.environ, "PMI_RANK": "1", "PMI_FD": str(number)}
    words = [*preparing(Launcher(kind, "/x/mpiexec"), PLACES, line), *program]
    with ours:
        try:
            done = subprocess.run(
                words, env=environment, stderr=subprocess.PIPE, text=True, timeout=20, pass_fds=[number], check=False
            )
        finally:
            os.close(number)
        return done.returncode, done.stderr, ours.recv(100)


@pytest.mark.parametrize(("end", "code", "how"), [
    ("exit 7", 7, "left with exit code 7"),
    ("exit 255", 255, "left with exit code 255"),
    ("kill -9 $$", 137, "was ended by signal 9"),
])  # fmt: skip
def test_hydra_is_told_of_a_rank_that_fails(end: str, code: int, how: str) -> None:
    returned, words, heard = ran("hydra", ["sh", "-c", end])
    assert returned == code
    assert words.endswith(f"rank 1 of 3 on {HOST} {how}\n")
    assert heard == b"cmd=abort exitcode=%d\n" % code


@pytest.mark.parametrize(
    ("kind", "program", "line", "code"),
    [
        ("hydra", ["true"], (), 0),
        ("hydra", ["sh", "-c", "exit 7"], ("-n", "3", "-disable-auto-cleanup"), 7),
        ("openmpi", ["sh", "-c", "exit 7"], (), 7),
    ],
)
def test_nobody_is_told_else(kind: Kind, program: list[str], line: tuple[str, ...], code: int) -> None:
    assert ran(kind, program, line) == (code, "", b"")


def test_a_program_is_never_a_word_of_the_shell() -> None:
    assert "exit: not found" in ran("hydra", ["exit", "0"])[1]


def test_signals_are_the_programs(tmp_path: Path) -> None:
    """A process group gets them, as from Hydra: who has a handler for one goes on."""
    ready = tmp_path / "ready"
    os.mkfifo(ready)
    program = f"trap 'exit 0' USR1; echo > {ready}; while :; do sleep 0.05; done"
    words = [*preparing(Launcher("hydra", "/x/mpiexec"), PLACES), "sh", "-c", program]
    with subprocess.Popen(words, env={**os.environ, "PMI_RANK": "1"}, process_group=0) as rank:
        try:
            ready.read_text()
            os.killpg(rank.pid, signal.SIGUSR1)
            assert rank.wait(20) == 0
        finally:
            if rank.poll() is None:
                os.killpg(rank.pid, signal.SIGKILL)
