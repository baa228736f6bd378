"""Which Pythons a runtime runs on."""

import sys
from collections.abc import Sequence

__all__ = ("DRAGON_REMEDY", "dragon_misfit")

DRAGON_REMEDY = (
    "Use one of these in the block (the provider's worker_init chooses it) and at the driver, or another runtime, "
    "such as LocalRuntime() or MPIRuntime()"
)

_DRAGON = ((3, 11), (3, 12))
"""Those of Dragon's that are ours too."""


def dragon_misfit(version: Sequence[int] = sys.version_info[:2]) -> str:
    """Return why Dragon does not run on a Python, or ""."""
    if tuple(version[:2]) in _DRAGON:
        return ""
    supported = " and ".join(f"{major}.{minor}" for major, minor in _DRAGON)
    return f"Dragon runs on Python {supported}, and the block's Python is {version[0]}.{version[1]}"
