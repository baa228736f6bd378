"""A task that tells when it runs: in a module, so that a worker can import it."""

import time

__all__ = ("now",)


def now(number: int) -> float:
    """Return the seconds since the epoch.

    Args:
        number: Of the call.
    """
    return time.time()
