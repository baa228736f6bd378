"""What this process holds of its host's memory."""

import ctypes
import gc
import os

__all__ = ("holds_more_than",)

_PAGE = os.sysconf("SC_PAGE_SIZE")
_libc = ctypes.CDLL(None)


def holds_more_than(limit: int) -> bool:
    """Whether this process holds so many bytes, also after what is free has been given back.

    Args:
        limit: Bytes.
    """
    if _held() <= limit:
        return False
    gc.collect()
    if hasattr(_libc, "malloc_trim"):  # glibc's
        _libc.malloc_trim(0)
    return _held() > limit


def _held() -> int:
    """Return the bytes that are ours; files that are only mapped do not count."""
    with open("/proc/self/statm") as pages:
        _, resident, shared, *_ = map(int, pages.read().split())
    return (resident - shared) * _PAGE
