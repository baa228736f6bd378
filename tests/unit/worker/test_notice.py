"""A signal before the end: who gets it, when, and who does not."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from rhapsody_parsl.wire.messages import Mode, Work
from rhapsody_parsl.worker import notice
from rhapsody_parsl.worker.notice import Notice
from testing.waiting import until

NUMBER = int(signal.SIGUSR1)
HEARS = """
import select, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])  # not within the next print
signal.signal(signal.SIGUSR1, lambda *_: print("told", flush=True))
print(flush=True)
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])
while not select.select([sys.stdin], [], [], 0.05)[0]:  # Python calls no handler once it is about to read
    pass
"""
DEAF = "print(flush=True); input()"


def work(after: float = 0.0, mode: Mode = "call") -> Work:
    return Work(1, mode, (), {}, [], signal=NUMBER, signal_at=time.time() + after)


@pytest.fixture
def came() -> Iterator[list[float]]:
    """Times at which this process was told."""
    times: list[float] = []
    before = signal.signal(NUMBER, lambda *_: times.append(time.time()))
    yield times
    signal.signal(NUMBER, before)


def program(code: str) -> "subprocess.Popen[str]":
    started = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert started.stdout
    started.stdout.readline()
    return started


def told(process: "subprocess.Popen[str]") -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def test_a_handler_here_is_called_once_at_its_time(came: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notice, "_AGAIN", 0.01)
    piece = work(after=0.2)
    with Notice(piece):
        until(lambda: came, 10)
        time.sleep(0.1)
    assert len(came) == 1
    assert came[0] >= piece.signal_at


def test_programs_with_a_handler_are_told_and_the_others_live(came: list[float]) -> None:
    hears, deaf = program(HEARS), program(DEAF)
    with Notice(work(mode="process")):
        assert told(hears) == "told"
    for process in (hears, deaf):
        assert process.communicate("\n")[0] == ""
        assert process.returncode == 0
    assert not came, "this process is the worker, not the task's"


def test_without_a_handler_nobody_is_told_until_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notice, "_AGAIN", 0.01)
    with Notice(work()):
        late = program(HEARS)
        assert told(late) == "told"
    late.communicate("\n")
    assert late.returncode == 0


def test_a_task_that_is_over_is_told_nothing(came: list[float]) -> None:
    with Notice(work(after=0.05)):
        pass
    time.sleep(0.2)
    assert not came
