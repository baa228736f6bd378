"""What a caller holds of a task, and how its result is opened."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import msgspec

from rhapsody_parsl.errors import from_wire
from rhapsody_parsl.payload import open_value
from rhapsody_parsl.wire.messages import FAILED, RAISED, RESULT, Result
from rhapsody_parsl.wire.parcels import opened

__all__ = ("TaskFuture", "open_result")


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


def open_result(result: Result) -> tuple[Any, BaseException | None]:
    """Return the value, or None and what was raised.

    Raises:
        Exception: Whatever unpickling raises, which runs the user's code.
    """
    payload = opened(result)
    if result.kind == RESULT:
        return open_value(payload), None
    if result.kind == RAISED:
        return None, open_value(payload).get_exception()
    if result.kind == FAILED:
        name, facts = msgspec.msgpack.decode(payload)
        return None, from_wire(name, facts)
    raise ValueError(f"a result of unknown kind {result.kind}")
