"""`cancel`: what Parsl's own futures refuse."""

from concurrent.futures import Future
from functools import partial
from typing import Any

from rhapsody_parsl.executors.launches import record_of, task_of, watch

__all__ = ("cancel",)


def cancel(future: Future[Any]) -> bool:
    """Cancel an app's call: its task is ended, queued or running, with all its processes.

    The future then has the exception `concurrent.futures.CancelledError`, and Parsl does not try again. A call that
    waits for other futures ends when these have. Of a join app, what it waits for is cancelled.

    Args:
        future: What the app returned, or `RhapsodyExecutor.submit`.

    Returns:
        Whether it will end by this: False when it has ended, or runs on an executor that cancels nothing.
    """
    record = record_of(future)
    if record is None:
        return future.cancel()
    if future.done():
        return False
    record["fail_cost"] = max(record["fail_cost"], record["dfk"].config.retries + 1)
    if task_of(future) is None:
        watch(future, partial(_cancel_task, future))  # it may be launched in this moment
    return all([_cancel_task(future), *map(cancel, _joined(record.get("joins")))])


def _cancel_task(future: Future[Any]) -> bool:
    """Cancel what is at work for an app, if anything is."""
    task = task_of(future)
    if task is None:
        return True
    try:
        return task.cancel() or task.done()
    except NotImplementedError:  # of Parsl's other executors
        return False


def _joined(joins: Any) -> list[Future[Any]]:
    """Return what a join app waits for."""
    return joins if isinstance(joins, list) else [joins] if isinstance(joins, Future) else []
