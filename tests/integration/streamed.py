"""Apps that give pieces: a worker imports this module by its name."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from pathlib import Path
from typing import Any


def numbers(count: int, comm: Any = None) -> Generator[int, None, int]:
    """Give numbers; of a gang, the sum of all ranks' numbers."""
    for number in range(count):
        yield number if comm is None else comm.allreduce(number)
    return count


async def awaited_numbers(count: int) -> AsyncIterator[int]:
    for number in range(count):
        await asyncio.sleep(0)
        yield number


def then_fails(count: int) -> Iterator[int]:
    yield from range(count)
    raise KeyError("after them")


def then_dies(count: int, memory: str = "") -> Iterator[int]:
    """Give numbers, and kill the process, or only the first time if there is a file to remember by."""
    yield from range(count)
    if not memory or not Path(memory).exists():
        if memory:
            Path(memory).touch()
        time.sleep(0.2)  # what it gave has left
        os.kill(os.getpid(), signal.SIGKILL)


def without_end(said: str, comm: Any = None) -> Iterator[int]:
    """Give numbers until told to stop, and say in a file how many were given; each rank in one of its own."""
    number, rank = 0, comm.Get_rank() if comm else ""
    try:
        while True:
            number += 1
            if comm:
                comm.Barrier()
            yield number
    except GeneratorExit:
        Path(f"{said}{rank}").write_text(f"{number}")
        raise


def of_unequal_ranks(comm: Any) -> Iterator[int]:
    """Give as many numbers as three times the rank's; another one than the first ends first, or last."""
    yield from range(3 * (comm.Get_rank() + 1))


def with_one_rank_that_fails(comm: Any) -> Iterator[int]:
    for number in range(9):
        if number and comm.Get_rank() == 1:
            raise KeyError("rank 1")
        yield number


async def without_end_awaited(said: str) -> AsyncIterator[int]:
    number = 0
    try:
        while True:
            number += 1
            yield number
    finally:
        Path(said).write_text(f"{number}")


def large(count: int, size: int) -> Iterator[bytes]:
    for number in range(count):
        yield bytes([number]) * size


def unpicklable() -> Iterator[Any]:
    yield 1
    yield iter(())
    yield (each for each in (1,))


def when_read(file: str) -> Iterator[int]:
    """Give the second piece once there is a file."""
    yield 1
    while not Path(file).exists():
        time.sleep(0.01)
    yield 2


def after(seconds: float, value: int) -> int:
    time.sleep(seconds)
    return value


class Giver:
    """A callable and a method that give pieces."""

    def __call__(self, count: int) -> Iterator[int]:
        yield from range(count)

    def method(self, count: int) -> Iterator[int]:
        yield from range(count)


FORMS: dict[str, Callable[..., Any]] = {
    "generator": numbers,
    "async generator": awaited_numbers,
    "callable object": Giver(),
    "bound method": Giver().method,
    "function that returns one": lambda count: (number for number in range(count)),
}
