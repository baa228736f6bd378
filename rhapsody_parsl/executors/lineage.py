"""Values that are lost are made again: by the tasks that gave them, when those may run again.

A task that takes a lost value fails before its function begins. Here it waits instead, without a core, until the value
has been made under its old name. That task may lack a value itself, and waits for that in its turn.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from rhapsody_parsl.annotations.reruns import MOST_RERUNS
from rhapsody_parsl.data.reference import Ref
from rhapsody_parsl.errors import DataLost
from rhapsody_parsl.executors.future import open_result
from rhapsody_parsl.wire.messages import FAILED, Result, Task, failed

__all__ = ("Lineage",)

_MOST_KNOWN = 10_000
_LARGEST = 1 << 20
"""Bytes of a call that is kept to be run again."""
_decode = msgspec.msgpack.Decoder(tuple[str, list[Any]]).decode

Then = Callable[[str, Ref | None], None]
"""Called when a value has been made again, with "" and its handle, or with why it has not."""


class _Made(msgspec.Struct):
    """How a value is made.

    Attributes:
        task: The call.
        tries: How often it was run again.
    """

    task: Task
    tries: int = 0


class Lineage:
    """What is known of the values of an executor.

    Args:
        put: Gives out a task.
        wanted: Whether somebody waits for a task.
        end: Takes the result of a task that has waited here in vain.
    """

    def __init__(
        self, put: Callable[[Task], None], wanted: Callable[[int], bool], end: Callable[[Result], None]
    ) -> None:
        self._put, self._wanted, self._end = put, wanted, end
        self._known: OrderedDict[str, _Made] = OrderedDict()
        self._using: dict[int, Task] = {}
        self._held: dict[int, list[Ref]] = {}
        self._making: dict[int, str] = {}
        self._waiting: dict[str, list[Then]] = {}
        self._lock = threading.RLock()

    def submitted(self, task: Task, remakes: bool) -> None:
        """A task is about to be sent.

        Args:
            task: It takes references, or gives one.
            remakes: Whether it gives one and may run again.
        """
        with self._lock:
            if any(key in self._known for key, _ in task.takes):
                self._using[task.id] = task
            if remakes and isinstance(task.payload, bytes) and len(task.payload) <= _LARGEST:
                self._known[str(task.id)] = _Made(task)
                if len(self._known) > _MOST_KNOWN:
                    self._known.popitem(last=False)

    def forget(self, key: str) -> None:
        """A value was deleted: nobody is to have it again."""
        with self._lock:
            self._known.pop(key, None)

    def ended(self, result: Result) -> bool:
        """A task has ended; return whether nobody is to be told, for now."""
        number = result.id
        if number not in self._using and number not in self._making:
            return False
        with self._lock:
            key, size = _lost(result)
            task = self._using.get(number) or self._task_of(number)
            lost = DataLost(key, size, "")
            if key and task and self.make_again(key, partial(self._go_on, task, lost)):
                return True
            self._using.pop(number, None)
            self._held.pop(number, None)
            if number not in self._making:
                return False
            self._made(self._making.pop(number), *open_result(result))
            return True

    def failed(self, number: object, error: Exception) -> bool:
        """A task was lost for good; return whether nobody is to be told."""
        if not isinstance(number, int) or (number not in self._using and number not in self._making):
            return False
        with self._lock:
            self._using.pop(number, None)
            self._held.pop(number, None)
            key = self._making.pop(number, "")
            if key:
                self._made(key, None, error)
            return bool(key)

    def make_again(self, key: str, then: Then) -> bool:
        """Have a lost value made again; return whether it is.

        Args:
            key: The value's.
            then: See `Then`.
        """
        with self._lock:
            if key in self._waiting:
                self._waiting[key].append(then)
                return True
            known = self._known.get(key)
            if known is None or known.tries >= MOST_RERUNS:
                return False
            known.tries += 1
            self._waiting[key] = [then]
            self._making[known.task.id] = key
            self._put(known.task)
            return True

    def close(self, reason: str) -> None:
        """Nothing is made any more."""
        with self._lock:
            self._known.clear()
            self._making.clear()
            waiting, self._waiting = self._waiting, {}
        for then in (each for every in waiting.values() for each in every):
            then(reason, None)

    def _task_of(self, number: int) -> Task | None:
        known = self._known.get(self._making.get(number, ""))
        return known.task if known else None

    def _made(self, key: str, value: Any, error: Exception | None) -> None:
        """A task that was run again has ended."""
        reason = "" if isinstance(value, Ref) else f"its task was run again and gave no reference ({error})"
        if reason:
            self._known.pop(key, None)
        for then in self._waiting.pop(key, ()):
            then(reason, value if isinstance(value, Ref) else None)

    def _go_on(self, task: Task, lost: DataLost, reason: str, ref: Ref | None) -> None:
        """A value that a task lacked is there, and stays until the task is over; or it cannot be had."""
        if not self._wanted(task.id) and task.id not in self._making:
            self._using.pop(task.id, None)
        elif ref is None:
            what, size, _ = lost.args
            result = failed(task.id, DataLost(what, size, reason))
            if not self.ended(result):
                self._end(result)
        else:
            self._held.setdefault(task.id, []).append(ref)
            self._put(task)


def _lost(result: Result) -> tuple[str, int]:
    """Return key and size of the value that a task lacked; "" where it did not."""
    if result.kind == FAILED and isinstance(result.payload, bytes):
        name, facts = _decode(result.payload)
        if name == DataLost.__name__:
            return str(facts[0]), int(facts[1])
    return "", 0
