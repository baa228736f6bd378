"""Carries the span in which an app is called through Parsl, which launches tasks on a thread of its own.

Parsl has no hook for that. So two of its methods are wrapped, in a process with telemetry alone.
"""

from functools import wraps
from typing import Any, cast

from opentelemetry.context import Context, attach, detach, get_current
from opentelemetry.trace import INVALID_SPAN, get_current_span
from parsl.dataflow.dflow import DataFlowKernel
from parsl.dataflow.futures import AppFuture

__all__ = ("carry",)

_KEY = "rhapsody_parsl span"


def carry() -> None:
    """Have each task launched in the context in which its app was called; idempotent."""
    if not hasattr(DataFlowKernel.launch_task, "__wrapped__"):
        AppFuture.__init__ = _noting(AppFuture.__init__)  # type: ignore[method-assign]  # as OpenTelemetry's own instrumentations do
        DataFlowKernel.launch_task = _within(DataFlowKernel.launch_task)  # type: ignore[method-assign]  # as above


def _noting(make: Any) -> Any:
    """Wrap what runs on the caller's thread, before the task can be launched."""

    @wraps(make)
    def noting(future: AppFuture, task_record: Any) -> None:
        if get_current_span() is not INVALID_SPAN:
            task_record[_KEY] = get_current()
        make(future, task_record)

    return noting


def _within(launch: Any) -> Any:
    """Wrap what hands a task to its executor."""

    @wraps(launch)
    def launched(kernel: DataFlowKernel, task_record: Any) -> Any:
        token = attach(cast(Context, task_record.get(_KEY, Context())))
        try:
            return launch(kernel, task_record)
        finally:
            detach(token)

    return launched
