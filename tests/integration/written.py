"""Apps in the forms that people write them: a worker imports this module by its name."""

import asyncio
import functools
import os
from collections.abc import Callable, Generator
from typing import Any

from rhapsody_parsl import annotate


async def doubled(number: int, comm: Any = None) -> int:
    await asyncio.sleep(0)
    return 2 * number


def plainly(number: int, comm: Any = None) -> int:
    return 2 * number


def counted(number: int, comm: Any = None) -> Generator[int, None, int]:
    yield from range(number)
    return number


class Counter:
    def __call__(self, number: int, comm: Any = None) -> Generator[int, None, int]:
        yield from range(number)
        return number


def surroundings() -> str:
    return f"{os.environ.get('MESH')} {os.getcwd()} {os.environ.get('RHAPSODY_SANDBOX')}"


async def fails(comm: Any = None) -> None:
    await asyncio.sleep(0)
    raise KeyError("awaited")


async def waits(seconds: float, walltime: float = 0) -> None:
    await asyncio.sleep(seconds)


async def forks_and_leaves_more() -> tuple[int, int]:
    """Return the exit code of a child that returns from here, and the id of a program that runs on."""
    program = await asyncio.create_subprocess_exec("sleep", "100")
    if (child := os.fork()) == 0:
        return 0, 0
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code, program.pid


class Doubler:
    """A callable, with a method of each kind."""

    async def __call__(self, number: int) -> int:
        return await doubled(number)

    async def method(self, number: int) -> int:
        return await doubled(number)

    @classmethod
    async def of_the_class(cls, number: int) -> int:
        return await doubled(number)

    @staticmethod
    def static(number: int) -> int:
        return 2 * number


FORMS: dict[str, Callable[..., Any]] = {
    "async def": doubled,
    "partial": functools.partial(plainly, comm=None),
    "partial of async def": functools.partial(doubled, comm=None),
    "callable object": Doubler(),
    "bound method": Doubler().method,
    "class method": Doubler.of_the_class,
    "static method": Doubler.static,
    "lambda": lambda number: 2 * number,
    "builtin": (2).__mul__,
}

GENERATORS: dict[str, Callable[..., Any]] = {
    "function": counted,
    "partial of annotated": functools.partial(annotate({"priority": 1})(counted)),
    "callable object": Counter(),
}
