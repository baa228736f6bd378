"""Pin a process, and end one with everything below it."""

import ctypes
import math
import os
import signal
from collections.abc import Collection
from pathlib import Path

import psutil

from rhapsody_parsl.cluster.leftovers import mpi_segments

__all__ = (
    "adopt_orphans",
    "die_with_parent",
    "end_descendants",
    "end_session",
    "end_tree",
    "older_descendants",
    "pin",
)

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_TICKS = os.sysconf("SC_CLK_TCK")


def pin(cores: Collection[int]) -> None:
    """Bind every thread of this process to `cores`; what it starts from now on inherits that."""
    if not cores:
        return
    for thread in Path("/proc/self/task").iterdir():
        try:
            os.sched_setaffinity(int(thread.name), cores)
        except ProcessLookupError:
            continue  # the thread ended between listing and call


def adopt_orphans() -> None:
    """Become the parent of orphaned descendants (Linux subreaper), so that none escapes `end_descendants`."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with_parent(signal_number: int = signal.SIGKILL) -> None:
    """Ask the kernel to signal this process when the thread that started it ends."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0)


def end_descendants(pid: int | None = None, keep: Collection[int] = ()) -> int:
    """SIGKILL everything below a process (this one by default), again until nothing new appears.

    Resource trackers of multiprocessing are spared: they remove the shared memory of the dead, and then leave. The
    segments an MPI library removes only at its own end are removed here.

    Args:
        pid: Whose descendants.
        keep: Process ids to spare.

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
        fresh = [process for process in below if process.pid not in keep and _to_end(process)]
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


def older_descendants(uptime: float) -> set[int]:
    """Return the ids of the processes below this one that were there when the machine was up for so many seconds.

    Not `psutil`'s `create_time`: that is of the clock on the wall, which may have been set since.
    """
    return {
        process.pid
        for process in psutil.Process().children(recursive=True)
        if _started(process.pid) < uptime - 1 / _TICKS
    }


def _started(pid: int) -> float:
    """Return the uptime at which a process started; infinite for one that is gone."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]) / _TICKS
    except OSError:
        return math.inf


def _to_end(process: psutil.Process) -> bool:
    try:
        ended = process.status() == psutil.STATUS_ZOMBIE
        return not ended and not any("multiprocessing.resource_tracker" in word for word in process.cmdline())
    except psutil.NoSuchProcess:
        return False


def end_session(leader: int) -> None:
    """SIGKILL what is left of a session whose leader was killed, with all below: they share no parent any more."""
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE:
                end_tree(process.pid)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue


def end_tree(pid: int) -> None:
    """SIGKILL a process and everything below it: it is stopped first, so that it starts nothing meanwhile."""
    _kill(pid, signal.SIGSTOP)
    end_descendants(pid)
    _kill(pid)


def _kill(pid: int, number: int = signal.SIGKILL) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return  # already gone, which is what was wanted
