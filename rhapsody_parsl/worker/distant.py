"""Values of other hosts: what a task lacks is brought once per host, and what it leaves the pilot is told of."""

import itertools
from concurrent.futures import Future

from rhapsody_parsl.data.reference import Facts
from rhapsody_parsl.errors import DataLost
from rhapsody_parsl.hosts.data_files import DataFiles
from rhapsody_parsl.wire.value_messages import AskValue, ValueHere, ValueLeft
from rhapsody_parsl.worker.line import Here, line

__all__ = ("brought", "told")

_orders = itertools.count(1)


def brought(files: DataFiles, facts: Facts) -> memoryview:
    """Have a value on this host, and return its file; of several processes that lack it one asks.

    Raises:
        DataLost: It is gone.
        OSError: There is no room for it.
    """
    with files.alone(facts.key):
        try:
            return files.open(facts.key)
        except FileNotFoundError:
            reason = _asked(facts.key)
        try:
            return files.open(facts.key)
        except FileNotFoundError:
            raise DataLost(facts.name, facts.size, reason or "it was deleted, or nobody held it any more") from None


def _asked(key: str) -> str:
    """Have a value brought; return why it is not here then."""
    here = line()
    if here is None:
        return "this process is none that a block started for a task, and cannot ask for it"
    order, answer = next(_orders), Future[ValueHere]()
    Here.values[order] = answer
    here.send(AskValue(order, key))
    here.listen()
    while not answer.done() and here.hear():  # on the thread that listens nobody else does
        pass
    return answer.result().reason


def told(key: str) -> None:
    """Tell the pilot of a value here, before the word of the task's end."""
    here = line()
    if here is not None:
        here.send(ValueLeft(key))
