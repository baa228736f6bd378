"""The signal that tells a task's processes that their block ends soon."""

import os
import signal
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from rhapsody_parsl.wire.messages import Work

__all__ = ("Notice",)

_AGAIN = 1.0
"""Seconds between two looks: what has no handler yet may have one soon."""


class Notice:
    """Sends the signal of a piece of work at its time, while the `with` block lasts.

    It goes once to each process of the task that has a handler for it, also to one that has it only later. The others
    are left alone, for it would kill them.

    Args:
        work: Which signal, when, and whether the task runs in this process.
    """

    def __init__(self, work: Work) -> None:
        self._number, self._at = work.signal, work.signal_at
        self._here = work.mode != "process"
        self._told: set[int] = set()
        self._over = threading.Event()
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        """Start to wait; without a thread more for this user nobody is told."""
        with suppress(RuntimeError):
            threading.Thread(target=self._wait, name="notice", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """The task is over: no signal is sent any more."""
        self._over.set()
        with suppress(BaseException), self._lock:  # a handler of the task's may run here
            pass

    def _wait(self) -> None:
        pause = max(0.0, self._at - time.time())
        while not self._over.wait(pause):
            self._tell()
            pause = _AGAIN

    def _tell(self) -> None:
        """Send it to those that have not had it."""
        with self._lock:
            for pid in self._processes() if not self._over.is_set() else ():
                if pid not in self._told and _catches(pid, self._number):
                    self._told.add(pid)
                    with suppress(OSError):  # it has ended
                        os.kill(pid, self._number)

    def _processes(self) -> Iterable[int]:
        if self._here and callable(signal.getsignal(self._number)):
            yield os.getpid()
        with suppress(psutil.Error):
            for process in psutil.Process().children(recursive=True):
                yield process.pid


def _catches(pid: int, number: int) -> bool:
    """Whether a process has a handler for a signal, as the kernel says."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    caught = status.partition("SigCgt:")[2].split(maxsplit=1)[0]
    return bool(int(caught, 16) >> (number - 1) & 1)
