"""A fresh process for one task, seen from the worker that starts it; `once` is the process."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from typing import BinaryIO, cast

import msgspec

from rhapsody_parsl.errors import WorkerLost
from rhapsody_parsl.wire.messages import LOST, Result, failed
from rhapsody_parsl.worker import line
from rhapsody_parsl.worker.once import LENGTH
from rhapsody_parsl.worker.outlet import Outlet
from rhapsody_parsl.worker.user_code import end_leftovers

__all__ = ("run_in_fresh_process",)

_ANSWERS_OF_DRAGON = "DRAGON_GS_RET_QD"
"""Names the one channel to this process and none below it: a second one that listens there waits for ever."""
_LEAVE_WITHIN = 5.0
"""Seconds for exit handlers and threads of a fresh process whose task is over."""


def run_in_fresh_process(task: int, payload: bytes | memoryview, outlet: Outlet) -> Result:
    """Run one payload in a new Python process of its own session, pass on its pieces and return its result."""
    began = time.perf_counter()
    (read, write), (pieces, give) = os.pipe(), os.pipe()
    command = [sys.executable, "-m", "rhapsody_parsl.worker.once", f"{write},{give}"]
    env = {name: value for name, value in os.environ.items() if name != _ANSWERS_OF_DRAGON} | line.variable(task)
    child = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=(write, give), start_new_session=True, env=env)
    os.close(write)
    os.close(give)
    with os.fdopen(read, "rb") as answer:
        with suppress(BrokenPipeError), cast(BinaryIO, child.stdin) as question:
            question.write(payload)
        _pass_on(pieces, outlet)
        data = answer.read()  # before the end is waited for: a large result does not fit into the pipe
    is_late = _is_late(child)
    end_leftovers()
    if (child.returncode and not is_late) or not data:
        where = f"fresh process {child.pid} on {socket.gethostname()}"
        lost = failed(task, WorkerLost(where, _ending(child.returncode)))
        return msgspec.structs.replace(lost, kind=LOST)
    result = msgspec.msgpack.decode(data, type=Result)
    return msgspec.structs.replace(result, id=task, seconds=time.perf_counter() - began)


def _pass_on(pipe: int, outlet: Outlet) -> None:
    """Pass on the pieces of a fresh process as their reader takes them; without one it waits, as its pipe is full."""
    with outlet.opened() as flow, os.fdopen(pipe, "rb") as pieces:
        while flow.wait() and (head := pieces.read(LENGTH)):
            outlet.put_packed(pieces.read(int.from_bytes(head)), flow)


def _is_late(child: "subprocess.Popen[bytes]") -> bool:
    """Whether a process that has answered had to be killed: a thread that runs on keeps it from its end."""
    try:
        child.wait(_LEAVE_WITHIN)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
        return True
    return False


def _ending(code: int | None) -> str:
    if code is not None and code < 0:
        return f"it was ended by {signal.Signals(-code).name}"
    return f"it left with exit code {code}"
