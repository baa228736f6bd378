"""What a task may change of its process beside its environment, noted once and put back."""

import fcntl
import os
import resource
import signal
import sys
from _signal import getsignal, pthread_sigmask  # type: ignore[import-not-found]  # `signal`'s make enumerations' members
from typing import Any, TextIO, cast

from rhapsody_parsl.worker.footing import default_signals

__all__ = ("ProcessState",)

_STREAMS = ("stdin", "stdout", "stderr")
_LIMITS = ("CPU", "FSIZE", "NPROC", "NOFILE", "AS")
"""Those that a task that does nothing wrong can fail by."""


class ProcessState:
    """That of this process as it is now."""

    def __init__(self) -> None:
        self._streams = [_Stream(number, name) for number, name in enumerate(_STREAMS)]
        self._limits = {number: resource.getrlimit(number) for number in _numbers()}
        self._handlers = {number: getsignal(number) for number in map(int, signal.valid_signals())}
        self._main = sys.modules["__main__"]
        self._recursion, self._traced, self._profiled = sys.getrecursionlimit(), sys.gettrace(), sys.getprofile()
        self._own = _own()

    def put_back(self) -> bool:
        """Put back what is not as it was; False when that is not allowed, and this process is no good for others."""
        pthread_sigmask(signal.SIG_SETMASK, ())
        for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
            signal.setitimer(timer, 0)
        if dumps := sys.modules.get("faulthandler"):
            dumps.cancel_dump_traceback_later()
        self._put_python_back()
        self._put_handlers_back()
        for stream in self._streams:
            stream.put_back()
        return self._put_limits_back() and _own() == self._own

    def _put_python_back(self) -> None:
        sys.modules["__main__"] = self._main
        if sys.getrecursionlimit() != self._recursion:
            sys.setrecursionlimit(self._recursion)
        if sys.gettrace() is not self._traced:
            sys.settrace(self._traced)
        if sys.getprofile() is not self._profiled:
            sys.setprofile(self._profiled)

    def _put_handlers_back(self) -> None:
        signal.set_wakeup_fd(-1)
        changed = {number: handler for number, handler in self._handlers.items() if getsignal(number) is not handler}
        for number, handler in changed.items():
            if handler is not None:  # else it is no Python function, and stays as it is
                signal.signal(number, handler)
        if changed:
            default_signals()

    def _put_limits_back(self) -> bool:
        for number, known in self._limits.items():
            soft, hard = resource.getrlimit(number)
            if (soft, hard) != known:
                try:
                    resource.setrlimit(number, known)
                except (ValueError, OSError):
                    return False
        return True


class _Stream:
    """A standard stream: the descriptor, of which a copy is kept, and Python's file over it."""

    def __init__(self, number: int, name: str) -> None:
        self._number, self._name = number, name
        self._leads_to = _identity(number)
        self._copy = fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 3) if self._leads_to else -1
        self._file: Any = getattr(sys, name)

    def put_back(self) -> None:
        if self._leads_to != _identity(self._number) and self._leads_to:
            os.dup2(self._copy, self._number)
        if not _is_open(self._file):
            self._file = self._opened()
            setattr(sys, f"__{self._name}__", self._file)
        if getattr(sys, self._name) is not self._file:
            setattr(sys, self._name, self._file)
        if self._number:
            self._file.flush()

    def _opened(self) -> TextIO:
        mode, buffering = ("r", -1) if self._number == 0 else ("w", 1)
        return cast(TextIO, open(self._number, mode, buffering, errors="backslashreplace", closefd=False))


def _is_open(file: Any) -> bool:
    try:
        return file is None or not file.closed
    except ValueError:  # what is below it was detached
        return False


def _identity(descriptor: int) -> tuple[int, int, int] | None:
    """Return what a descriptor leads to, and whether that can be read or written; None for a closed one."""
    try:
        found = os.fstat(descriptor)
        return found.st_dev, found.st_ino, fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE
    except OSError:
        return None


def _numbers() -> list[int]:
    return [getattr(resource, f"RLIMIT_{name}") for name in _LIMITS]


def _own() -> tuple[int, ...]:
    """Return what only some may change back: whose this process is, and its niceness."""
    return *os.getresuid(), *os.getresgid(), os.getpriority(os.PRIO_PROCESS, 0)
