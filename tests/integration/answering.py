"""Tasks that hear answers past the pilot, and tasks to which something happens when they have answered."""

import asyncio
import ctypes
import os
import time
from collections.abc import AsyncIterator
from concurrent.futures import wait
from pathlib import Path
from typing import Any

from rhapsody_parsl import block, stream
from rhapsody_parsl.inside.client import client
from rhapsody_parsl.wire.channel import Spoke
from rhapsody_parsl.wire.messages import ChildrenEnded, Result
from rhapsody_parsl.worker.line import Here


def link(action: str = "", folder: str = "") -> int:
    """Return this process; it dies, or is held up, when it has answered and before it tells the pilot."""
    if action:
        Path(folder, f"{time.time_ns()}.ran").touch()
        say = Spoke.answer

        def answer(self: Spoke, peer: str, message: ChildrenEnded) -> bool:
            Spoke.answer = say  # type: ignore[method-assign]  # once
            said = say(self, peer, message)
            if action == "dies":
                os.kill(os.getpid(), 9)
            time.sleep(0.2)
            return said

        Spoke.answer = answer  # type: ignore[method-assign]  # for this task's own answer
    return os.getpid()


def chain(count: int, action: str, folder: str, **child: Any) -> tuple[list[int], int]:
    """Run links one after the other, the third with an action; return their processes, and how many were heard of."""
    here, own, told = block(), client(), list[bool]()
    note = own._note

    def noting(future: Any, result: Result) -> None:
        told.append(result.told > 0)
        note(future, result)

    own._note = noting  # type: ignore[method-assign]  # counts
    try:
        actions = (action if number == 2 else "" for number in range(count))
        return [here.submit(link, each, folder, resource_specification=child).result() for each in actions], sum(told)
    finally:
        del own._note


def waits_after(folder: str, **child: Any) -> tuple[int, int]:
    """Return what a task answers that dies then, and how often it has begun a second later."""
    first = block().submit(link, "dies", folder, resource_specification=child)
    answered = first.result()
    time.sleep(2)
    return int(answered == first.result()), len(list(Path(folder).glob("*.ran")))


def reads_late(count: int) -> list[int]:
    """Submit tasks, and let no thread of this process run while they end."""
    here = block()
    here.submit(abs, 0).result()
    futures = [here.submit(late, number) for number in range(count)]
    ctypes.PyDLL(None).usleep(1_000_000)
    wait(futures, 30)
    return [future.result(0) for future in futures]


def late(number: int) -> int:
    time.sleep(0.02)
    return number


def sockets() -> list[str]:
    """Return the names of the sockets at which fresh processes hear answers."""
    return [path.name for path in Path(Here.endpoint.removeprefix("ipc://")).parent.glob("task-*.answers")]


_both = asyncio.Barrier(2)


async def counts(count: int) -> AsyncIterator[int]:
    """Yield numbers, in turns with another one in the same process."""
    await _both.wait()
    for number in range(count):
        yield number
        await asyncio.sleep(0)


def reads_two(rounds: int) -> list[int]:
    """Return how many pieces came of each of two generators that one worker runs side by side."""
    here, counted = block(), list[int]()
    beside = {"cores": 2, "concurrency": 2}  # all of the block: one worker
    for _ in range(rounds):
        futures = [here.submit(counts, 5, resource_specification=beside) for _ in range(2)]
        counted += [len(list(stream(future))) for future in futures]
    return counted
