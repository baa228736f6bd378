"""What a caller holds of a task, and how its result is opened."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import msgspec

from rhapsody_parsl import payload as payloads
from rhapsody_parsl.errors import PayloadError
from rhapsody_parsl.raised.revival import revive
from rhapsody_parsl.wire.failures import from_wire
from rhapsody_parsl.wire.messages import RAISED, RESULT, Result
from rhapsody_parsl.wire.shared_memory import opened

__all__ = ("TaskFuture", "complete", "fail", "open_result")


class TaskFuture(Future[Any]):
    """A task's future; `cancel` works on queued and on running tasks, whose processes end."""

    def __init__(self, task: int, cancel: Callable[[int], None]) -> None:
        super().__init__()
        self.parsl_executor_task_id = task
        self._cancel_task = cancel

    def cancel(self) -> bool:
        """Cancel the task, queued or running; True unless it has ended."""
        if self.cancelled():
            return True
        if not super().cancel():
            return False
        self.set_running_or_notify_cancel()  # else `concurrent.futures.wait` does not see it
        self._cancel_task(self.parsl_executor_task_id)
        return True


def open_result(result: Result) -> tuple[Any, Exception | None]:
    """Return the value, or None and why there is none."""
    try:
        payload = opened(result)
        if result.kind == RESULT:
            return payloads.open_result(payload), None
        if result.kind == RAISED:
            return None, revive(payload)
        name, facts = msgspec.msgpack.decode(payload)
        return None, from_wire(name, facts)
    except PayloadError as problem:
        return None, problem
    except Exception as problem:  # noqa: BLE001 - a future that never ends would be worse
        return None, PayloadError("result", f"{type(problem).__name__}: {problem}")


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
