"""Tasks that measure what tasks of their own cost: in a module, so that a worker can import them."""

import resource
import statistics
import time
from collections.abc import Callable
from concurrent.futures import wait

from rhapsody_parsl import block

__all__ = ("from_inside", "no_op", "rate", "switches", "trips")


def no_op(number: int) -> int:
    """Return the number."""
    return number


def trips(call: Callable[[int], int], count: int) -> float:
    """Return the median round trip in milliseconds."""
    taken = []
    for number in range(count):
        began = time.perf_counter()
        if call(number) != number:
            raise ValueError("a wrong result, so that no number counts")
        taken.append(time.perf_counter() - began)
    return 1e3 * statistics.median(taken)


def from_inside(count: int) -> float:
    """Measure the round trip inside a task."""
    here = block()
    return trips(lambda number: int(here.submit(no_op, number).result()), count)


def switches(count: int) -> float:
    """Return how often per round trip a thread of the task's process waits, and another process or thread runs."""
    from_inside(min(count, 100))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw
    from_inside(count)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw - before) / count


def rate(count: int) -> float:
    """Return how many tasks per second one task gets through."""
    here = block()
    began = time.perf_counter()
    wait([here.submit(no_op, number) for number in range(count)])
    return count / (time.perf_counter() - began)
