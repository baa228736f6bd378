"""Makes a process what a program may expect to run in, whichever way the process came to be.

`prepare` comes first in each process that will run user code; `own_descriptors` once all of ours is open. See
`docs/what_a_task_finds.md`, which is the contract.
"""

import builtins
import ctypes
import os
import signal
import sys
from contextlib import suppress
from io import TextIOWrapper
from types import ModuleType

from rhapsody_parsl.hosts.environment import take

__all__ = ("ARGV", "close_own", "default_signals", "descriptors", "empty_input", "own_descriptors", "prepare")

ARGV = ("",)
"""As in an interactive Python: there is no script."""
_PYTHON_IGNORES = (signal.SIGPIPE, signal.SIGXFSZ)
_libc = ctypes.CDLL(None)
_libc.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
_libc.signal.restype = ctypes.c_void_p
_NOTHING = ctypes.cast(_libc.abs, ctypes.c_void_p)
"""A function that takes a signal's number and does nothing with it."""


def prepare(folder: str = "") -> None:
    """Give this process what a program finds that a shell starts, and none of our own.

    Before dill is loaded: that keeps the module `__main__` as it finds it.

    Args:
        folder: The private one, where the block's environment is; "" for who was started in that environment.
    """
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    default_signals()
    empty_input()
    if folder:
        _enter_block(folder)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(line_buffering=True)  # a worker that is killed has told what its tasks wrote
    sys.argv = list(ARGV)
    _have_no_main()


def default_signals() -> None:
    """Set the dispositions that Python starts with, whatever whoever started us ignored.

    A signal that is ignored stays so in what a process starts; one that is handled does not. Python ignores two, for
    errors instead: here a handler does that, and programs get the defaults however a task starts them.
    """
    for number in signal.valid_signals():
        if signal.getsignal(number) is signal.SIG_IGN and number not in _PYTHON_IGNORES:
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in _PYTHON_IGNORES:
        signal.signal(number, signal.SIG_IGN)  # what Python knows of it
        _libc.signal(number, _NOTHING)


def empty_input() -> None:
    """Put standard input at its end, for this process and what it starts."""
    null = os.open(os.devnull, os.O_RDONLY)
    if null:
        os.dup2(null, 0)
        os.close(null)
    else:
        os.set_inheritable(null, True)
    if sys.stdin is None or sys.stdin.closed:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 - for as long as the process


def _enter_block(folder: str) -> None:
    """Take the block's environment, with the places that its `PYTHONPATH` names."""
    before = _places()
    take(folder, os.environ)
    after = _places()
    sys.path[:] = [place for place in sys.path if place not in before or place in after]
    sys.path[1:1] = [place for place in after if place not in before and place not in sys.path]


def _places() -> list[str]:
    return [place for place in os.environ.get("PYTHONPATH", "").split(os.pathsep) if place]


def _have_no_main() -> None:
    """Have an empty `__main__`: user's functions that come by value have it for their globals.

    With no file and no name in it, multiprocessing's new processes import none of our modules.
    """
    main = ModuleType("__main__")
    main.__dict__["__builtins__"] = builtins
    sys.modules["__main__"] = main


def own_descriptors() -> None:
    """Keep what is open now from what this process starts: programs, and forked children."""
    ours = descriptors()
    for descriptor in ours:
        os.set_inheritable(descriptor, False)
    os.register_at_fork(after_in_child=lambda: close_own(ours))


def descriptors() -> dict[int, tuple[int, int]]:
    """Return what is open now beside the standard streams, with what it leads to."""
    return dict(filter(None, map(_identity, os.listdir("/proc/self/fd"))))


def close_own(ours: dict[int, tuple[int, int]]) -> None:
    """Close in a forked child what still leads where `descriptors` found it to lead."""
    for descriptor, known in ours.items():
        if _identity(str(descriptor)) == (descriptor, known):
            os.close(descriptor)


def _identity(name: str) -> tuple[int, tuple[int, int]] | None:
    """Return a descriptor with what it leads to; None for the standard streams and what is closed."""
    descriptor = int(name)
    with suppress(OSError):
        if descriptor > 2:  # noqa: PLR2004 - the standard streams
            found = os.fstat(descriptor)
            return descriptor, (found.st_dev, found.st_ino)
    return None
