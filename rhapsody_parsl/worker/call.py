"""One payload: bytes, call, bytes."""

import sys
import time
import traceback
from typing import Any

import msgspec

from rhapsody_parsl.errors import PayloadError, RhapsodyError, WorkerLost, to_wire
from rhapsody_parsl.payload import pack_value
from rhapsody_parsl.wire.messages import FAILED, RAISED, RESULT, Result
from rhapsody_parsl.worker.user_code import is_wrapper, run

__all__ = ("call", "failed", "pack", "raised")


def call(task: int, payload: bytes | memoryview) -> Result:
    """Run one payload in this process; every way it can end becomes a `Result`."""
    began = time.perf_counter()
    try:
        value = run(payload)
    except SystemExit as exit_:
        return failed(task, WorkerLost("in the task", f"the task called sys.exit({exit_.code!r})"))
    except BaseException:  # noqa: BLE001 - the user's exception, whatever it is, is the task's result
        return raised(task, time.perf_counter() - began)
    return pack(task, value, time.perf_counter() - began)


def pack(task: int, value: Any, seconds: float = 0.0) -> Result:
    """Return a value as a `Result`."""
    try:
        return Result(task, RESULT, pack_value(value), seconds)
    except Exception as problem:  # noqa: BLE001 - dill raises anything
        if is_wrapper(value):
            return failed(task, PayloadError("exception", "".join(traceback.format_exception(value.e_value))))
        return failed(task, PayloadError("result", f"{type(problem).__name__}: {problem}"))


def raised(task: int, seconds: float = 0.0) -> Result:
    """Return the exception being handled as a `Result`, its traceback with it."""
    from parsl.app.errors import RemoteExceptionWrapper  # noqa: PLC0415 - takes a second or two; most tasks need none

    wrapper = RemoteExceptionWrapper(*sys.exc_info())
    try:
        return Result(task, RAISED, pack_value(wrapper), seconds)
    except Exception:  # noqa: BLE001 - dill raises anything
        return failed(task, PayloadError("exception", traceback.format_exc(limit=-20)))


def failed(task: int, error: RhapsodyError) -> Result:
    """Return one of our errors as a `Result`."""
    return Result(task, FAILED, msgspec.msgpack.encode(to_wire(error)))
