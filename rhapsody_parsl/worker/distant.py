"""Values between this host and the pilot's: what a task lacks is brought once per host, what it leaves is sent."""

import itertools
from collections.abc import Sequence
from concurrent.futures import Future

from rhapsody_parsl.data.layout import Buffer
from rhapsody_parsl.data.reference import Facts
from rhapsody_parsl.errors import DataLost
from rhapsody_parsl.hosts.data_files import DataFiles
from rhapsody_parsl.wire.value_messages import AskValue, Copied, ValueHere, ValueLeft
from rhapsody_parsl.worker.line import Here, line

__all__ = ("brought", "sent")

_orders = itertools.count(1)


def brought(files: DataFiles, facts: Facts) -> memoryview:
    """Have a value on this host, and return its file; of several processes that lack it one asks.

    Raises:
        DataLost: It is gone.
        OSError: There is no room for it.
    """
    key = facts.key
    with files.alone(key):
        try:
            return files.open(key)
        except FileNotFoundError:
            answer = _asked(key)
        if not answer.copies:
            raise DataLost(facts.name, facts.size, answer.reason)
        files.write(key, [copied.payload for copied in answer.copies if isinstance(copied.payload, bytes)])
    return files.open(key)


def _asked(key: str) -> ValueHere:
    here = line()
    if here is None:
        return ValueHere(0, [], "this process is none that a block started for a task, and cannot ask for it")
    order, answer = next(_orders), Future[ValueHere]()
    Here.values[order] = answer
    here.send(AskValue(order, key))
    here.listen()
    while not answer.done() and here.hear():  # on the thread that listens nobody else does
        pass
    return answer.result()


def sent(key: str, pieces: Sequence[Buffer]) -> None:
    """Send a value to the pilot's host, before the word of the task's end."""
    here = line()
    if here is not None:
        here.send(ValueLeft([Copied(key, b"".join(pieces))]))
