"""Python's cyclic garbage collector, set for a process with very many objects and next to no cycles."""

import gc

__all__ = ("tune",)

_YOUNG = 20_000
"""Objects made and not ended after which the collector looks at them; Python's own is 700."""


def tune() -> None:
    """Take what is there for permanent, and look at what is new less often.

    Each lease, task and queue place is an object the collector may look at, none of them is in a cycle. With Python's
    own setting it took two fifths of a dispatch at 10,000 workers (`python -m benchmarks dispatch`).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, 10, 10)
