"""Where one task runs: its working directory, a folder of its own, a port that is kept for it."""

import itertools
import os
import re
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rhapsody_parsl.annotations.task_spec import decode_spec
from rhapsody_parsl.errors import FolderUnusable
from rhapsody_parsl.wire.messages import FAILED, LOST, RAISED, Result, Setting, Task, failed
from rhapsody_parsl.worker.port import VARIABLE, kept_port

__all__ = ("entered", "inherit", "kept", "left", "made", "run_in", "unusable")

_SANDBOX = "RHAPSODY_SANDBOX"
"""Tells a task its own folder."""
_ODD = re.compile(r"[^A-Za-z0-9_.-]")
_LONGEST = 60
_environ = os.environ
"""The one that there was, whatever a task puts in its place."""


class _Now:
    """The folder of the task that runs in this process, "" for none."""

    folder = ""


def run_in(setting: Setting, task: Task, call: Callable[[], Result]) -> Result:
    """Run a task that is one process.

    Args:
        setting: Its run's.
        task: The task.
        call: Runs it.
    """
    with ExitStack() as stack:
        try:
            folder = made(setting, task)
            port = stack.enter_context(kept_port()) if setting.port else 0
            stack.enter_context(entered(setting, folder, port))
        except OSError as problem:
            return unusable(setting, task, problem)
        result = call()
    left(folder, result.kind not in (RAISED, FAILED, LOST))
    return result


def made(setting: Setting, task: Task) -> str:
    """Make the folder of a task's own; return "" when it has none.

    It is named for the app and the task; a further try of the task gets a further one.

    Raises:
        OSError: It cannot be made.
    """
    if not setting.sandboxes:
        return ""
    parent = Path(setting.sandboxes).absolute()
    parent.mkdir(parents=True, exist_ok=True)
    name = f"{_ODD.sub('_', decode_spec(task.spec).name)[:_LONGEST]}-{task.id}"
    further = (parent / f"{name}.{attempt}" for attempt in itertools.count(2))
    return str(next(folder for folder in itertools.chain([parent / name], further) if _is_new(folder)))


def _is_new(folder: Path) -> bool:
    try:
        folder.mkdir()
    except FileExistsError:
        return False
    return True


@contextmanager
def entered(setting: Setting, folder: str, port: int = 0) -> Iterator[None]:
    """Be where a task is to run; who runs it goes back, as after any task.

    Args:
        setting: Its run's.
        folder: Its own, or "".
        port: Where its ranks meet, or 0.

    Raises:
        OSError: It is no folder, or is not ours to enter.
    """
    if where := folder or setting.cwd:
        os.chdir(where)
    told = {_SANDBOX: folder, VARIABLE: str(port or "")}
    before = {name: _environ.get(name) for name, value in told.items() if value}
    _environ.update({name: told[name] for name in before})
    _Now.folder = folder
    try:
        yield
    finally:
        _Now.folder = ""
        for name, value in before.items():
            _environ.pop(name, None)
            if value is not None:
                _environ[name] = value


def left(folder: str, well: bool) -> None:
    """A task is over: what it leaves in a folder of its own is kept when it has failed."""
    if folder and well:
        shutil.rmtree(folder, ignore_errors=True)


def unusable(setting: Setting, task: Task, problem: OSError) -> Result:
    """Return the result of a task that cannot run where it is to."""
    folder = problem.filename or setting.sandboxes or setting.cwd
    return failed(task.id, FolderUnusable(str(folder), socket.gethostname(), problem.strerror or str(problem)))


def inherit() -> None:
    """Be in the folder of whoever started this process."""
    _Now.folder = _environ.get(_SANDBOX, "")


def kept() -> str:
    """Return a sentence on the folder of the task that runs here and has failed; "" when it has none."""
    return f"Its folder is kept: {_Now.folder} on {socket.gethostname()}" if _Now.folder else ""
