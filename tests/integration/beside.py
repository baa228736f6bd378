"""Coroutines that run side by side in a worker: a worker imports this module by its name."""

import asyncio
import os
import time
from collections.abc import AsyncIterator

_here: list[int] = []


async def meet(count: int) -> tuple[int, int]:
    """Return our process and how many were here at once, when as many are."""
    _here.append(count)
    while len(_here) < count:
        await asyncio.sleep(0.01)
    here = len(_here)
    await asyncio.sleep(0.1)  # the others see it, too
    _here.pop()
    return os.getpid(), here


async def nap(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return seconds


async def fails(seconds: float) -> None:
    await asyncio.sleep(seconds)
    raise KeyError("one of them")


async def leaves() -> None:
    raise SystemExit(3)


async def swallows(seconds: float) -> str:
    """Do not end when cancelled."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            continue
    return "late"


async def says_where() -> tuple[str, str]:
    await asyncio.sleep(0)
    return os.getcwd(), os.environ.get("WORD", "")


async def gives(count: int) -> AsyncIterator[int]:
    for number in range(count):
        await asyncio.sleep(0)
        yield number


async def starts_a_program() -> int:
    program = await asyncio.create_subprocess_exec("sleep", "100")
    return program.pid
