"""Which task is at work for an app's future: Parsl launches it when its inputs are there, and again when it has failed.

Parsl does that on a thread of its own, and tells nobody. But it asks each task's future for a callback, with its record
of the app's call. So the future learns whose it is, before Parsl has written that down.

Futures are used inside tasks, too, where nobody has loaded Parsl: then none is of an app.
"""

import sys
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any

__all__ = ("note_launch", "record_of", "task_of", "tell_launch", "watch")

_watched: dict[int, list[Callable[[], object]]] = {}


def note_launch(callback: object, task: Future[Any]) -> int | None:
    """Note whose task this is, if the callback is Parsl's; return a number for `tell_launch` if somebody waits for it.

    Args:
        callback: That is asked of the future.
        task: The future.
    """
    if type(callback) is not partial or not callback.args or type(record := callback.args[0]) is not dict:
        return None
    if "exec_fu" not in record:
        return None
    record["exec_fu"] = task
    return id(record) if _watched else None


def tell_launch(record: int) -> None:
    """Parsl has launched something."""
    for tell in _watched.get(record, ())[:]:
        tell()


def task_of(future: Future[Any]) -> Future[Any] | None:
    """Return the future of the task at work for an app's future; None before it is launched."""
    record = record_of(future)
    return future if record is None else record["exec_fu"]


def record_of(future: Future[Any]) -> dict[str, Any] | None:
    """Return Parsl's record of the call that an app's future is of; None for other futures."""
    kind: Any = getattr(sys.modules.get("parsl.dataflow.futures"), "AppFuture", ())
    return future.task_record if isinstance(future, kind) else None


def watch(future: Future[Any], tell: Callable[[], object]) -> None:
    """Have this called whenever a task is launched for an app's future, and when that is done.

    Args:
        future: The app's, or a task's, which is launched already.
        tell: Takes nothing; on any thread.
    """
    if (call := record_of(future)) is not None:
        record = id(call)
        _watched.setdefault(record, []).append(tell)
        future.add_done_callback(lambda _: _watched.pop(record, None))
    future.add_done_callback(lambda _: tell())
