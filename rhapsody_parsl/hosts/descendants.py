"""Finds what is below a process, and ends it."""

import contextlib
import os
import signal
from collections.abc import Iterable
from pathlib import Path

import psutil

from rhapsody_parsl.hosts.leftovers import mpi_segments

__all__ = ("end_descendants", "end_session", "end_tree", "strays", "wait_for")


def end_descendants(pid: int | None = None) -> int:
    """SIGKILL everything below a process (this one by default), again until nothing new appears.

    Resource trackers (multiprocessing's, loky's) are spared: they remove the shared memory of the dead, and then leave.
    The segments an MPI library removes only at its own end are removed here.

    Args:
        pid: Whose descendants.

    Returns:
        How many were ended.
    """
    ended: set[int] = set()
    segments: set[str] = set()
    for _ in range(20):
        try:
            below = psutil.Process(pid).children(recursive=True)
        except psutil.NoSuchProcess:
            break
        fresh = [process for process in below if _to_end(process)]
        if not fresh:
            break
        segments |= mpi_segments(process.pid for process in fresh)
        for process in fresh:
            _kill(process.pid)
            ended.add(process.pid)
        psutil.wait_procs(fresh, timeout=0.2)
    for segment in segments:
        Path(segment).unlink(missing_ok=True)
    return len(ended)


def strays() -> list[psutil.Process]:
    """Return the living processes below this one that are to end with the task, if it is over."""
    if (children := _children()) is not None and children <= _trackers:
        return []
    below = psutil.Process().children(recursive=True)
    found = [process for process in below if _to_end(process)]
    _trackers.clear()
    _trackers.update({process.pid for process in below if _tidies(process)} if not found else ())
    return found


def wait_for(processes: Iterable[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Wait for their end, so many seconds at most; return those that live."""
    _, alive = psutil.wait_procs(list(processes), timeout=seconds)
    return [process for process in alive if _to_end(process)]


_trackers: set[int] = set()
"""The children that `strays` found to be resource trackers and nothing else: most likely they are all next time too."""


def _children() -> set[int] | None:
    """Return the ids of this process's own children; None where the kernel does not list them."""
    try:
        lists = [path.read_text() for path in Path("/proc/self/task").glob("*/children")]
    except OSError:  # a thread ended meanwhile
        return None
    return {int(word) for text in lists for word in text.split()} if lists else None


def _tidies(process: psutil.Process) -> bool:
    """Whether it is a resource tracker: multiprocessing's, or loky's."""
    try:
        return any("resource_tracker import main" in word for word in process.cmdline())
    except psutil.Error:
        return False


def _to_end(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE and not _tidies(process)
    except psutil.NoSuchProcess:
        return False


def end_session(leader: int) -> None:
    """SIGKILL what is left of a session whose leader was killed, with all below: they share no parent any more.

    As below any other process, what tidies up after the dead is spared.
    """
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError):
            if os.getsid(process.pid) == leader and _to_end(process):
                end_tree(process.pid)


def end_tree(pid: int) -> None:
    """SIGKILL a process and everything below it: it is stopped first, so that it starts nothing meanwhile."""
    _kill(pid, signal.SIGSTOP)
    end_descendants(pid)
    _kill(pid)


def _kill(pid: int, number: int = signal.SIGKILL) -> None:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return  # already gone, which is what was wanted, or another user's (sudo), which nobody can help
