"""The functions of the tests of data by reference: a worker imports this module by its name."""

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy


def zeros(count: int) -> Any:
    return numpy.zeros(count)


def ones(count: int) -> Any:
    return numpy.ones(count)


def total(first: Any, *others: Any, more: Any = None) -> float:
    """Sum arrays, also those in lists, tuples and dicts."""
    found = [first, *others, more]
    arrays = []
    while found:
        each = found.pop()
        if isinstance(each, dict):
            found += each.values()
        elif isinstance(each, (list, tuple)):
            found += each
        elif each is not None:
            arrays.append(each)
    return float(sum(array.sum() for array in arrays))


def is_read_only(array: Any) -> bool:
    return not array.flags.writeable


async def later(count: int) -> Any:
    await asyncio.sleep(0)
    return numpy.ones(count)


def of_a_gang(array: Any, comm: Any) -> Any:
    """Return the sum over all ranks, from each of them."""
    return comm.allreduce(array)


def killed_while_it_writes(count: int, told: str) -> Any:
    """Return what kills the first worker when half of it is written."""
    import threading

    from rhapsody_parsl.hosts import data_files

    first = not Path(told).exists()
    Path(told).touch()
    fill = data_files._fill

    def half(path: str, pieces: Any, size: int) -> None:
        fill(path, [piece[: len(piece) // 2] for piece in pieces], size)
        if sum(map(len, pieces)) > count:
            os.kill(os.getpid(), signal.SIGKILL)
            threading.Event().wait()

    if first:
        data_files._fill = half
    return numpy.ones(count)


def wait_for(told: str, array: Any) -> float:
    while not Path(told).exists():
        time.sleep(0.01)
    return float(array.sum())


def in_place(count: int, comm: Any = None) -> Any:
    from rhapsody_parsl import empty

    array = empty(count)
    array[:] = 2
    return array
