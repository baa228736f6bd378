"""Processes of tasks in which something breaks: they end, and nobody waits for what they do not tell."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rhapsody_parsl.wire.inflow import Inflow, pack

ASKS = """
import sys, time
from rhapsody_parsl.worker.line import _OwnLine
_OwnLine(7, sys.argv[1])
time.sleep(60)
"""
WORKS = """
import sys, threading, time
from rhapsody_parsl.worker.loop import serve

class Breaks:
    def __init__(self, inbox, outbox, before): ...

    def run(self):
        threading.Thread(target=time.sleep, args=(60,)).start()  # as a task may leave one
        raise LookupError("no such result")

serve(sys.argv[1], "worker", Breaks)
"""


@contextmanager
def heard(folder: Path, code: str, word: bytes) -> Iterator[socket.socket]:
    """Be the pilot of a process; it is to end soon, with an exit code of 1 and a word."""
    with socket.socket(socket.AF_UNIX) as hub:
        hub.bind(str(folder / "hub"))
        hub.listen()
        hub.settimeout(20)
        with subprocess.Popen([sys.executable, "-c", code, f"ipc://{folder}/hub"], stderr=subprocess.PIPE) as process:
            try:
                pilot, _ = hub.accept()
                with pilot:
                    Inflow(pilot).read()
                    yield pilot
                    assert process.wait(20) == 1
                assert process.stderr
                assert word in process.stderr.read()
            finally:
                process.kill()


def test_a_process_whose_answers_cannot_be_read_ends_and_does_not_wait(tmp_path: Path) -> None:
    with heard(tmp_path, ASKS, b"MalformedFrame") as pilot:
        for buffer in pack([b"no message"]):
            pilot.sendall(buffer)


def test_a_process_whose_line_is_cut_ends_and_does_not_wait(tmp_path: Path) -> None:
    with heard(tmp_path, ASKS, b"") as pilot:
        pilot.shutdown(socket.SHUT_RDWR)


def test_a_worker_that_breaks_ends_whatever_its_tasks_have_left(tmp_path: Path) -> None:
    with heard(tmp_path, WORKS, b"no such result"):
        pass
