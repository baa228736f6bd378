"""One payload: bytes, call, bytes."""

import time
from collections.abc import Callable
from typing import Any

from rhapsody_parsl.data.reference import packed
from rhapsody_parsl.data.staying import Stays
from rhapsody_parsl.errors import DataLost, PayloadError, WorkerLost
from rhapsody_parsl.errors.lost import IN_THE_TASK
from rhapsody_parsl.payload import pack_result
from rhapsody_parsl.raised.account import encoded
from rhapsody_parsl.telling import printed
from rhapsody_parsl.wire.messages import RAISED, RESULT, Result, failed
from rhapsody_parsl.worker.outlet import Outlet
from rhapsody_parsl.worker.references import given, left
from rhapsody_parsl.worker.setting import kept
from rhapsody_parsl.worker.user_code import run

__all__ = ("call", "ended", "pack", "raised")

_MOST_WORDS = 8_000


def call(
    task: int,
    payload: bytes | memoryview,
    use: Callable[[int, Any, float], Result] | None = None,
    outlet: Outlet | None = None,
) -> Result:
    """Run one payload in this process; every way it can end becomes a `Result`.

    Args:
        task: Its number.
        payload: The call.
        use: Makes a result of number, value and seconds; default `pack`.
        outlet: Where the pieces go if it gives a generator.
    """
    began = time.perf_counter()
    try:
        value = run(payload, outlet)
    except BaseException as problem:  # noqa: BLE001 - the user's exception, whatever it is, is the task's result
        return ended(task, problem, time.perf_counter() - began)
    return (use or pack)(task, value, time.perf_counter() - began)


def pack(task: int, value: Any, seconds: float = 0.0) -> Result:
    """Return a value as a `Result`."""
    try:
        packed.clear()
        if type(value) is Stays:  # `isinstance` would have a proxy fetch its value
            value = left(task, value)
        return Result(task, RESULT, pack_result(value), seconds, time.time(), gives=given(value))
    except PayloadError as problem:
        return failed(task, problem)


def ended(task: int, problem: BaseException, seconds: float) -> Result:
    """Return what a call raised as a `Result`."""
    if isinstance(problem, SystemExit):
        reason = f"the task called sys.exit({problem.code!r})"
        return failed(task, WorkerLost(IN_THE_TASK, reason, printed(problem, _MOST_WORDS)))
    if isinstance(problem, DataLost):
        return failed(task, problem)
    return raised(task, problem, seconds)


def raised(task: int, problem: BaseException, seconds: float = 0.0, note: str = "") -> Result:
    """Return an exception as a `Result`, with its traceback, and with one more note."""
    packed.clear()
    account = encoded(problem, "\n".join(filter(None, (note, kept()))))
    return Result(task, RAISED, account, seconds, time.time(), gives=given(problem))
