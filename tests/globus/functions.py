"""The functions that the tests send to an endpoint: a worker imports this module by its name."""

import os
import sys
import time
from typing import Any


def square(x: int) -> int:
    return x * x


def large(size: int) -> bytes:
    return bytes(size)


def fail(word: str) -> None:
    raise LookupError(f"no such word: {word}")


class Strange(BaseException):
    """Of the user's, and no Exception: nobody but a worker may open it."""

    def __reduce__(self) -> Any:
        return _open_strange, ()


def _open_strange() -> None:
    raise AssertionError(f"process {os.getpid()} opened the user's object")


def fail_without_unicode() -> None:
    raise LookupError("no such word: \ud800")


def fail_strangely() -> None:
    raise Strange


def leave() -> None:
    sys.exit(3)


def state() -> tuple[int, str, str | None, str | None]:
    """Return the process, where it stands, and two variables."""
    return os.getpid(), os.getcwd(), os.environ.get("LEFT_BY_A_TASK"), os.environ.get("GC_TASK_SANDBOX_DIR")


def spoil() -> int:
    """Change what a process has only once."""
    os.environ["LEFT_BY_A_TASK"] = "yes"
    os.chdir("/")
    return os.getpid()


def sleep(seconds: float) -> str:
    end = time.monotonic() + seconds
    while time.monotonic() < end:  # in steps, so that Globus Compute's time-out finds a place to strike
        time.sleep(0.01)
    return "slept"


def wait_for(path: str) -> str:
    while not os.path.exists(path):
        time.sleep(0.05)
    return path


def sleep_long() -> int:
    time.sleep(600)
    return os.getpid()


def total(values: list[int], comm: Any = None) -> tuple[int, int]:
    """Return the sum over all ranks, and how many they were."""
    return comm.allreduce(sum(values[comm.rank :: comm.size])), comm.size


def fail_on_one(comm: Any = None) -> None:
    if comm.rank == 1:
        raise LookupError("not on rank 1")
    comm.barrier()


def prompt(text: str) -> str:
    return f"Say {text}"


def total_app(values: list[int], comm: Any = None, parsl_resource_specification: Any = None) -> tuple[int, int]:
    """Return the same; Parsl hands the specification on to the function."""
    return total(values, comm)


def fail_app(comm: Any = None, parsl_resource_specification: Any = None) -> None:
    fail_on_one(comm)


def fork(how: str) -> int:
    """Fork; return the exit code of the child, which leaves in one of three ways."""
    import os
    import sys

    child = os.fork()
    if child == 0:
        if how == "exit":
            sys.exit(5)
        if how == "raise":
            raise ValueError("in the child")
        return -1
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
