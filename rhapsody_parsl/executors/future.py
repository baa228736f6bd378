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
