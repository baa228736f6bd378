"""Agents for the tests, and tasks that have messages for them."""

import os
import signal
import time
from pathlib import Path
from typing import Any

from rhapsody_parsl import Agent, AgentHandle, Policy, annotate, block


@annotate(Agent(cores=0))
class Counter:
    """Counts, and keeps its count in a checkpoint."""

    def __init__(self, start: int = 0) -> None:
        self.count, self.born = start, os.getpid()

    def add(self, by: int = 1) -> int:
        self.count += by
        return self.count

    def value(self) -> int:
        return self.count

    def process(self) -> int:
        return os.getpid()

    def host(self) -> str:
        return os.uname().nodename

    async def add_later(self, by: int) -> int:
        return self.add(by)

    def fails(self) -> None:
        raise ValueError("as it is told")

    def naps(self, seconds: float) -> None:
        time.sleep(seconds)

    def size(self, data: bytes) -> bytes:
        return data[: len(data) // 2]

    def dies_once(self, mark: str) -> int:
        if not Path(mark).exists():
            Path(mark).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return self.add(100)

    def dies(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def _hidden(self) -> None: ...

    def checkpoint(self) -> int:
        return self.count

    def restore(self, state: int) -> None:
        self.count = state


class Reader:
    """Takes values that are kept by reference: where it is made, and in messages."""

    def __init__(self, own: bytes) -> None:
        self.own = own

    def sizes(self, data: bytes) -> tuple[int, int]:
        return len(self.own), len(data)


class Forgetful:
    """Is not annotated, has no checkpoint, and says when it stops."""

    def __init__(self, mark: str) -> None:
        self.mark, self.count = mark, 0

    def add(self) -> int:
        self.count += 1
        return self.count

    def naps(self, seconds: float) -> None:
        time.sleep(seconds)

    def on_stop(self) -> None:
        Path(self.mark).write_text(f"stopped at {self.count}")


@annotate(Agent(unanswered="fail"))
class Once(Counter):
    """Gets no message a second time."""


class Unborn:
    def __init__(self) -> None:
        raise RuntimeError("it cannot be made")


def has_a_reader() -> tuple[int, int]:
    """Start an agent with a value by reference, and ask it with another: nobody else holds either."""
    with block() as here:
        reader = here.start_agent(Reader, here.put(bytes(7)), name="inner reader")
        found: tuple[int, int] = reader.ask("sizes", here.put(bytes(8))).result()
        reader.stop().result()
        return found


def asks(name: str) -> list[int]:
    agent = block().agent(name)
    return [agent.ask("add").result() for _ in range(3)]


def asks_by_handle(handle: AgentHandle, by: int) -> Any:
    return handle.ask("add", by).result()


def tells_and_leaves(name: str) -> None:
    block().agent(name).tell("add", 1000)


def has_its_own(name: str) -> list[Any]:
    """Start an agent, and a child that asks it."""
    with block() as here:
        counter = here.start_agent(Counter, 5, name=name)
        child = here.submit(asks_by_handle, counter, 7, resource_specification={"cores": 0})
        answers = [child.result(), counter.ask("value").result()]
        counter.stop().result()
        return answers


def times_asking(name: str, count: int) -> list[float]:
    agent, taken = block().agent(name), []
    for _ in range(count):
        began = time.perf_counter()
        agent.ask("value").result()
        taken.append(time.perf_counter() - began)
    return taken


@annotate(Policy(priority=0))
def one() -> int:
    return 1
