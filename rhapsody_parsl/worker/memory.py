"""What this process holds of its host's memory before a task: that does not count against the task."""

import ctypes
import gc
import os
from collections.abc import Callable

from rhapsody_parsl.hosts.mark import Mark

__all__ = ("Before", "lighten", "limited")

_PAGE = os.sysconf("SC_PAGE_SIZE")
_SLACK = 8 << 20
"""Bytes: as long as what is resident has changed by less, nothing is counted again, for that costs a tenth of a ms."""
_COUNTED = ("RssAnon:", "RssShmem:", "VmSwap:")
_libc = ctypes.CDLL(None)
limited: list[Callable[[], None]] = []
"""What is done before tasks with a limit, so that this process holds no more than it needs."""


class Before:
    """Counts before each task with a limit, and writes it where the memory watch reads it.

    Args:
        mark: Ours; None where there was no room for it.
    """

    def __init__(self, mark: Mark | None) -> None:
        self._mark = mark
        self._resident = _resident()
        self._held = self._fresh = _held()

    def note(self, run: int) -> int:
        """Note what we hold before the next task of a run.

        Args:
            run: The run.

        Returns:
            How many bytes of it earlier tasks have left.
        """
        lighten()
        resident = _resident()
        if abs(resident - self._resident) > _SLACK:
            if resident > self._resident:
                _give_back()
            self._resident, self._held = _resident(), _held()
        if self._mark:
            self._mark.holds(run, self._held)
        return self._held - self._fresh


def lighten() -> None:
    """Hold no more than is needed: tasks with a limit come."""
    for step in limited:
        step()


def _give_back() -> None:
    """Give back what is free, else the next task takes it for nothing."""
    gc.collect()
    if hasattr(_libc, "malloc_trim"):  # glibc's
        _libc.malloc_trim(0)


def _resident() -> int:
    with open("/proc/self/statm", "rb") as pages:
        return int(pages.read().split(None, 2)[1]) * _PAGE


def _held() -> int:
    """Return the bytes that are ours, swapped or not; files that are only mapped do not count."""
    with open("/proc/self/status") as status:
        lines = [line.split() for line in status if line.startswith(_COUNTED)]
    return sum(int(line[1]) * 1024 for line in lines)
