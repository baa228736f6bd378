"""Tasks that read the streams of tasks that they submit: a worker imports this module by its name."""

import asyncio
import os
from collections.abc import AsyncIterator, Generator
from pathlib import Path
from typing import Any

from rhapsody_parsl import VLLM, annotate, block, stream
from rhapsody_parsl.errors import NoStream, StreamRestarted

MANY = 200
"""Pieces: a generator waits after 32 that nobody has read."""


def counted(count: int, size: int = 0, comm: Any = None) -> Generator[tuple[int, bytes], None, int]:
    for number in range(count):
        yield number, bytes(size)
    return count


async def counted_too(count: int) -> AsyncIterator[int]:
    for number in range(count):
        yield number


def plain() -> int:
    return 3


def dies_once(folder: str) -> Generator[int, None, str]:
    yield 1
    yield 2
    mark = Path(folder, "died")
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), 9)
    return "well"


def ends_early(mark: str) -> Generator[int, None, None]:
    try:
        yield from range(10**9)
    finally:
        Path(mark).touch()


@annotate(VLLM("fake", stream=True))
def prompt(word: str) -> str:
    return word


def reads(keys: dict[str, Any]) -> list[Any]:
    """Read pieces in turn, two streams at once, and large ones."""
    here = block()
    future = here.submit(counted, MANY, resource_specification=keys)
    found = [number for number, _ in stream(future)]
    two = [stream(here.submit(counted, MANY)) for _ in range(2)]
    pairs = [(a[0], b[0]) for a, b in zip(*two, strict=True)]
    large = sum(len(data) for _, data in stream(here.submit(counted, 8, 1 << 20)))
    return [found == list(range(MANY)), future.result(), pairs == [(n, n) for n in range(MANY)], large]


def awaits() -> int:
    async def total() -> int:
        return sum([number async for number in stream(block().submit(counted_too, MANY))])

    return asyncio.run(total())


def on_ranks() -> list[int]:
    return [number for number, _ in stream(block().submit(counted, 40, resource_specification={"num_ranks": 2}))]


def asks(word: str) -> tuple[str, str]:
    future = block().submit(prompt, word)
    return "".join(stream(future)), future.result()


def others(folder: str) -> list[Any]:
    """Leave a stream, read a task that is no generator, and one that runs again."""
    here = block()
    mark = Path(folder, "left")
    left = here.submit(ends_early, str(mark))
    for number in stream(left):
        if number == 50:
            break
    said = [left.result(), mark.exists()]
    try:
        list(stream(here.submit(plain)))
    except NoStream:
        said.append("no stream")
    again = here.submit(dies_once, folder, resource_specification={"on_loss": "rerun"})
    try:
        list(stream(again))
    except StreamRestarted as problem:
        said.append(problem.args[0])
    return [*said, *stream(again), again.result()]


def leaves_one(mark: str) -> None:
    """Submit a generator that lives on, and that nobody reads."""

    def writes() -> Generator[int, None, None]:
        yield from range(MANY)
        Path(mark).touch()

    block(outlive=True).submit(writes)
