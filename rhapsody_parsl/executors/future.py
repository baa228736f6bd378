"""What a caller holds of a task, and how its result is opened."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol

import msgspec

from rhapsody_parsl import payload as payloads
from rhapsody_parsl.errors import PayloadError
from rhapsody_parsl.executors.launches import note_launch, tell_launch
from rhapsody_parsl.executors.light_condition import LightCondition
from rhapsody_parsl.executors.tray import Streamed, Tray
from rhapsody_parsl.prompt_lists import joined
from rhapsody_parsl.raised.revival import revive
from rhapsody_parsl.wire.failures import from_wire
from rhapsody_parsl.wire.joined import decode_answers, failure
from rhapsody_parsl.wire.messages import JOINED, PARTLY, RAISED, RESULT, Result
from rhapsody_parsl.wire.piece_messages import More
from rhapsody_parsl.wire.shared_memory import opened

__all__ = ("TaskFuture", "complete", "fail", "open_result")


class Owner(Protocol):
    """Who brings word of a task to where it is."""

    def cancel_task(self, task: int) -> None:
        """End a task."""

    def say(self, more: More) -> None:
        """Tell a task's process what the reader of its stream has taken."""


class TaskFuture(Streamed):
    """A task's future; `cancel` works on queued and on running tasks, whose processes end.

    Args:
        task: The task's number.
        owner: The executor.
        streams: Whether the task is known to give pieces.
    """

    def __init__(self, task: int, owner: Owner, streams: bool = False) -> None:
        super().__init__()
        self._condition = LightCondition()
        self.parsl_executor_task_id = task
        self._owner, self.streams = owner, streams

    def _new_tray(self) -> Tray:
        return Tray(self.parsl_executor_task_id, self._owner.say)

    def add_done_callback(self, fn: Callable[[Future[Any]], object]) -> None:
        """Have this called at the end; Parsl asks for that when it has launched an app's task."""
        record = note_launch(fn, self)
        super().add_done_callback(fn)
        if record is not None:
            tell_launch(record)

    def cancel(self) -> bool:
        """Cancel the task, queued or running; True unless it has ended."""
        if self.cancelled():
            return True
        if not super().cancel():
            return False
        self.set_running_or_notify_cancel()  # else `concurrent.futures.wait` does not see it
        self._owner.cancel_task(self.parsl_executor_task_id)
        return True


def open_result(result: Result) -> tuple[Any, Exception | None]:
    """Return the value, or None and why there is none."""
    try:
        payload = opened(result)
        if result.kind == RESULT:
            return payloads.open_result(payload), None
        if result.kind in (JOINED, PARTLY):
            return _open_joined(payload)
        return None, revive(payload) if result.kind == RAISED else from_wire(*msgspec.msgpack.decode(payload))
    except PayloadError as problem:
        return None, problem
    except Exception as problem:  # noqa: BLE001 - a future that never ends would be worse
        return None, PayloadError("result", f"{type(problem).__name__}: {problem}")


def _open_joined(payload: bytes | memoryview) -> tuple[Any, Exception | None]:
    """Return the values of a list of prompts, or one response to all; or the error that holds those that there are."""
    told = decode_answers(payload)
    values: list[Any] = [payloads.open_result(data) if kind == RESULT else None for kind, data in told.answers]
    if any(kind != RESULT for kind, _ in told.answers):
        return None, failure(told, values)
    return joined(values) if told.full else values, None


def complete(future: Future[Any] | None, result: Result) -> None:
    """Give a task's result to its future, if there is one that waits."""
    if future is None or not _waits(future):
        return
    value, error = open_result(result)
    if error is None:
        future.set_result(value)
    else:
        future.set_exception(error)


def fail(future: Future[Any] | None, error: Exception) -> None:
    """Give an error to a task's future, if there is one that waits."""
    if future is not None and _waits(future):
        future.set_exception(error)


def _waits(future: Future[Any]) -> bool:
    return not future.done() and future.set_running_or_notify_cancel()
