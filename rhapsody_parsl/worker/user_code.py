"""Calls user code, and sees to what it started: a child that it forked stays one, and what still runs ends with it."""

import os
import sys
import traceback
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from rhapsody_parsl.data.reference import Here
from rhapsody_parsl.hosts.descendants import end_descendants, strays, wait_for
from rhapsody_parsl.hosts.process_tree import has_children
from rhapsody_parsl.payload import open_call
from rhapsody_parsl.programs import Unfinished
from rhapsody_parsl.worker import afterwards, references

if TYPE_CHECKING:
    from rhapsody_parsl.worker.outlet import Outlet

__all__ = ("end_leftovers", "run")

_SETTLE = 0.1
"""Seconds for what is just ending: `tee` at the end of its pipe writes its last lines."""
_GRACE = 0.3
"""Seconds between SIGTERM and SIGKILL: an MPI launcher then ends what it started on other hosts."""


_UNDER_WAY = (Coroutine, Generator, AsyncGenerator)


class _Forked:
    """Whether this process is a child that a task forked."""

    child = False


def _note_child() -> None:
    _Forked.child = True


os.register_at_fork(after_in_child=_note_child)


Here.opens = references.opened  # what opens calls is in this process


def run(payload: bytes | memoryview, outlet: "Outlet | None" = None, /, **more: Any) -> Any:
    """Open a call and make it; nothing that it started runs any more afterwards.

    A child that it forked never comes back from here: it exits as a program would.

    Args:
        payload: The call.
        outlet: Where the pieces go if it gives a generator.
        more: Further keywords.

    Raises:
        BaseException: Whatever the call raises, or returns in the wrapper of Parsl's decorators.
    """
    problem: BaseException | None = None
    value: Any = None
    try:
        afterwards.opening(True)
        function, args, kwargs = open_call(payload)
        afterwards.opening(False)
        value = function(*args, **{**kwargs, **more})
        if issubclass(type(value), _UNDER_WAY):  # `isinstance` would have a proxy fetch its value
            value = _finished(value, function, kwargs, outlet)
    except BaseException as raised:
        problem = raised
        raise
    finally:
        afterwards.opening(False)
        if _Forked.child:
            _exit(value.e_value if is_wrapper(value) else problem)
        end_leftovers()
    if is_wrapper(value):
        value.reraise()
    return value.finish() if type(value) is Unfinished else value


def _finished(value: Any, function: Callable[..., Any], kwargs: Mapping[str, Any], outlet: "Outlet | None") -> Any:
    """Return what becomes of a call that has only begun."""
    if outlet and not outlet.takes(function):
        outlet = None
    if isinstance(value, Generator):
        from rhapsody_parsl.worker.outlet import drained  # noqa: PLC0415 - few tasks have pieces

        return drained(value, outlet) if outlet else value
    from rhapsody_parsl.worker import coroutines  # noqa: PLC0415 - asyncio is paid for with the first such app

    if isinstance(value, AsyncGenerator):
        return coroutines.awaited(coroutines.drained_async(value, outlet)) if outlet else value
    return coroutines.awaited(value, kwargs.get("walltime") if coroutines.is_timed(function) else None)


def is_wrapper(value: Any) -> bool:
    """Whether it is how Parsl's apps return what they raised; nothing is where nobody has loaded Parsl."""
    return issubclass(type(value), getattr(sys.modules.get("parsl.app.errors"), "RemoteExceptionWrapper", ()))


def _exit(problem: BaseException | None) -> None:
    """End a forked child as Python ends, but for its exit handlers: they are its parent's."""
    code = 0
    if isinstance(problem, SystemExit):
        code = _code_of(problem)
    elif problem is not None:
        traceback.print_exception(problem)
        code = 1
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    os._exit(code)


def _code_of(exit_: SystemExit) -> int:
    if exit_.code is None:
        return 0
    if isinstance(exit_.code, int):
        return exit_.code & 0xFF
    print(exit_.code, file=sys.stderr)  # noqa: T201 - as Python does
    return 1


def end_leftovers() -> None:
    """End what the call left running. Looking costs a microsecond where nothing was started, as for most calls."""
    if not has_children():
        return
    if (left := strays()) and (left := wait_for(left, _SETTLE)):
        for process in left:
            with suppress(Exception):  # it is gone, or another user's
                process.terminate()
        wait_for(left, _GRACE)
        end_descendants()
    _bury()


def _bury() -> None:
    """Collect what has ended: whoever asks for it later finds it gone."""
    if multiprocessing := sys.modules.get("multiprocessing.process"):
        multiprocessing.active_children()  # by whom it was started, where that is known
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
