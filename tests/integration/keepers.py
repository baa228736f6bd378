"""Functions of the tests of values that tasks keep in their block: a worker imports this module by its name."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy

from rhapsody_parsl import Ref, block
from rhapsody_parsl.errors import DataLost, InvalidTask
from rhapsody_parsl.mail import AgentHandle
from tests.integration.references import is_read_only, total, wait_for, zeros

COUNT = 100_000
KEPT = {"result": "reference"}


def plus_one(state: Any) -> Any:
    return state + 1


def chain(way: dict[str, Any]) -> tuple[Any, ...]:
    """Pass values on by reference; return one handle of them."""
    here = block()
    first = here.put(numpy.ones(COUNT))
    second = here.submit(plus_one, first, resource_specification={**way, **KEPT}).result()
    third = here.submit(plus_one, second, resource_specification={**way, **KEPT}).result()
    small = here.submit(plus_one, 1, resource_specification={**way, **KEPT, "reference_above": "1 MB"}).result()
    added = here.submit(total, first, [second], more={"a": third}, resource_specification=way).result()
    return small, added, is_read_only(third.result()), {"kept": third}


def of_a_rank(comm: Any) -> Ref | None:
    """Return what the first rank has put, once all have put something and the others have given it to a task."""
    here = block()
    own = here.put(numpy.full(COUNT, comm.Get_rank()))
    there = here.submit(total, own, resource_specification={"cores": 0}).result()
    assert comm.allgather(there) == [COUNT * rank for rank in range(comm.Get_size())]
    return own if comm.Get_rank() == 0 else None


def handed_up(depth: int) -> Ref:
    """Return a handle that a task far below has returned."""
    if not depth:
        return block().put(numpy.ones(COUNT))
    kept: Ref = block().submit(handed_up, depth - 1, resource_specification={"cores": 0}).result()
    return kept


def drops(folder: str) -> tuple[int, str, str]:
    """Return how many values are there after some were dropped, and what two of their handles say."""
    here = block()
    kept, deleted = here.put(numpy.ones(COUNT)), here.put(numpy.zeros(COUNT))
    del kept
    deleted.delete()
    failed = here.submit(fails_with, here.put(b"gone"))
    assert isinstance(failed.exception(), ValueError)
    deadline = time.monotonic() + 30
    while (left := len(os.listdir(folder))) and time.monotonic() < deadline:
        time.sleep(0.01)
    return left, raised(deleted.result), raised(lambda: here.submit(total, deleted))


def fails_with(value: bytes) -> None:
    raise ValueError(len(value))


def raised(call: Any) -> str:
    try:
        call()
    except (DataLost, InvalidTask) as error:
        return f"{type(error).__name__}: {error}"
    return ""


def holds(folder: str) -> None:
    """Hold values until killed; one of them is about to be taken by a task."""
    here = block()
    mine = here.put(numpy.ones(COUNT))
    other = here.submit(zeros, COUNT, resource_specification=KEPT).result()
    here.submit(wait_for, str(Path(folder, "never")), mine)
    Path(folder, "holder").write_text(str(os.getpid()))
    time.sleep(600)
    del mine, other


def killed_while_it_puts() -> None:
    from rhapsody_parsl.hosts import data_files

    fill = data_files._fill

    def half(path: str, pieces: Any, size: int) -> None:
        fill(path, [piece[: len(piece) // 2] for piece in pieces], size)
        if sum(map(len, pieces)) > COUNT:
            os.kill(os.getpid(), signal.SIGKILL)

    data_files._fill = half
    block().put(numpy.ones(COUNT))


def names(what: str) -> str:
    """Put, find or let go of a value with a name."""
    here = block()
    if what == "put":
        here.put(numpy.ones(COUNT), "model", pinned=True)
        return raised(lambda: here.put(1, "model"))
    found = here.reference("model")
    text = f"{here.submit(total, found).result():.0f}"
    found.pin(what != "unpin")
    return text


def leaves_to_another(told: str) -> None:
    """End before a task that lives on has taken a value."""
    here = block(outlive=True)
    here.submit(notes, told, here.put(numpy.ones(COUNT)))
    here.submit(plus_one, numpy.zeros(COUNT), resource_specification=KEPT)


def notes(told: str, array: Any) -> None:
    wait_for(told, array)
    Path(told).with_suffix(".sum").write_text(str(array.sum()))


class Keeper:
    """An agent whose state is a handle."""

    def __init__(self) -> None:
        self.states: list[Ref] = []

    def checkpoint(self) -> list[Ref]:
        return self.states

    def restore(self, states: list[Ref]) -> None:
        self.states = states

    def keep(self, number: int) -> int:
        """Keep one more and forget the first of three; return the process."""
        self.states = [*self.states, block().put(numpy.full(COUNT, number))][-2:]
        return os.getpid()

    def sums(self) -> list[float]:
        return [float(ref.result().sum()) for ref in self.states]

    def newest(self) -> Ref:
        return self.states[-1]


def asks_a_keeper() -> list[float]:
    """Start one, kill it, and have what it has kept."""
    here = block()
    keeper: AgentHandle = here.start_agent(
        Keeper, name="keeper", resource_specification={"cores": 0, "on_loss": "rerun"}
    )
    *_, process = (keeper.ask("keep", number).result() for number in (1, 2, 3))
    os.kill(process, signal.SIGKILL)
    sums = keeper.ask("sums").result()
    newest = keeper.ask("newest").result()
    found = here.submit(total, newest).result()
    keeper.stop().result()
    return [*sums, found, float(newest.result().sum())]
