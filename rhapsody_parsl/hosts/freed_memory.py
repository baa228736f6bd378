"""What a process that passes large pieces on does with memory that it has freed. Standard library only."""

import ctypes

__all__ = ("keep",)

_LARGEST = 32 << 20
"""Bytes of a block of memory up to which it is kept."""
_KEPT = 64 << 20
"""Bytes that are kept at most, of each arena."""
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Numbers of glibc's `mallopt`."""


def keep() -> None:
    """Have freed memory serve what comes next, as glibc does by itself only once it has freed such large blocks.

    Else each piece has new pages, which cost as much as all else that is done with it.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):  # glibc's
        libc.mallopt(_MMAP_THRESHOLD, _LARGEST)
        libc.mallopt(_TRIM_THRESHOLD, _KEPT)
