"""Functions that submit others to the block that they run in."""

import time
from concurrent.futures import wait

from rhapsody_parsl import block


def square(number: int) -> int:
    return number * number


def squares(count: int) -> int:
    with block() as here:
        return sum(here.map(square, range(count)))


def round_trips(count: int) -> list[float]:
    """Return the seconds that each of so many tasks takes there and back."""
    here, taken = block(), []
    for number in range(count):
        began = time.perf_counter()
        here.submit(square, number).result()
        taken.append(time.perf_counter() - began)
    return taken


def rate(count: int) -> float:
    """Return how many tasks per second go through, submitted all at once."""
    here = block()
    began = time.perf_counter()
    wait([here.submit(square, number) for number in range(count)])
    return count / (time.perf_counter() - began)
