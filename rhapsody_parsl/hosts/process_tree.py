"""A process and its place among others: pinned to cores, ended with its parent, with something below it or not."""

import ctypes
import os
import signal
from collections.abc import Collection

__all__ = ("adopt_orphans", "die_with_parent", "end_below", "has_children", "pin")

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_P_ALL, _WALL = 0, 0x40000000
_LOOK = os.WEXITED | os.WNOHANG | os.WNOWAIT | _WALL
_libc = ctypes.PyDLL(None, use_errno=True)


def pin(cores: Collection[int]) -> None:
    """Bind every thread of this process to `cores`; what it starts from now on inherits that."""
    if not cores:
        return
    for thread in os.listdir("/proc/self/task"):
        try:
            os.sched_setaffinity(int(thread), cores)
        except ProcessLookupError:
            continue  # the thread ended between listing and call


def adopt_orphans() -> None:
    """Become the parent of orphaned descendants (Linux subreaper), so that none escapes `end_descendants`."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with_parent(signal_number: int = signal.SIGKILL) -> None:
    """Ask the kernel to signal this process when the thread that started it ends."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0)


def has_children() -> bool:
    """Whether this process has any, zombies too; to ask costs a microsecond."""
    return bool(_libc.waitid(_P_ALL, 0, None, _LOOK) == 0)


def end_below() -> None:
    """SIGKILL everything below this process. psutil is loaded only where there is something, or was a task."""
    if has_children():
        from rhapsody_parsl.hosts.descendants import end_descendants  # noqa: PLC0415 - as above

        end_descendants()
