"""A file for the next value, made while the process waits for work: its pages are there when the value is written.

A task that leaves a large value is often followed by one that leaves another. To make the pages takes the kernel three
times as long as to fill them.
"""

import contextlib
import threading

from rhapsody_parsl.hosts.data_files import DataFiles

__all__ = ("make",)


def make(files: DataFiles, size: int) -> None:
    """Have a file of about this size there some time later, where there is room.

    Args:
        files: The values of this host.
        size: In bytes.
    """
    with contextlib.suppress(RuntimeError):  # a process limit may forbid a thread
        threading.Thread(target=_make, args=(files, size), name="spare", daemon=True).start()


def _make(files: DataFiles, size: int) -> None:
    with contextlib.suppress(OSError):  # the next value has its pages made then, and says what is wrong
        files.prepare(size)
