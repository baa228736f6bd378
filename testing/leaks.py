"""What a test may leave behind, and how we see it.

Four things outlive a careless test: processes below ours, entries of `/dev/shm`, files for a while
(those that `tempfile` and its like make), and ports on which we or such a process listen.
`watch()` compares what stands before and after, gives what is just ending a moment of grace, and
then names what is left and kills the processes.

Other people work on the machine: a new entry counts only while no process but ours holds it, and
`keep_apart()` gives our files for a while a folder where only ours are. What a wider fixture
started (it stood before the test) may go on, with all below it and all that it holds.
"""

import contextlib
import ctypes
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - looked at, never written
GRACE = 10.0
_PR_SET_CHILD_SUBREAPER = 36
_OTHERS = ("pymp-", "torchinductor_")
"""What HighThroughputExecutor's manager leaves when it is killed, and torch's cache."""
_PROBE = b"blat"
"""What `tempfile` writes into a file, to see whether it may; a process that is killed in that moment leaves it."""


class LeakError(AssertionError):
    """A test left something behind."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What stands at one moment.

    Attributes:
        processes: All below ours, orphans included once `adopt_orphans` was called.
        segments: Names in `/dev/shm`.
        files: Names in the folder of files for a while.
        ports: Ports on which this very process listens.
    """

    processes: frozenset[psutil.Process]
    segments: frozenset[str]
    files: frozenset[str]
    ports: frozenset[int]


def adopt_orphans() -> None:
    """Make this process the parent of each orphan below it, so that none slips away to init."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER) failed")


@contextlib.contextmanager
def keep_apart() -> Iterator[None]:
    """Have this process, and all that it starts, make files for a while in a folder of their own."""
    place = tempfile.gettempdir()
    folder = tempfile.mkdtemp(prefix="rh-")  # short: sockets lie in it
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", place)  # what a failed test had is still there afterwards
    os.environ["TMPDIR"] = tempfile.tempdir = folder
    try:
        yield
    finally:
        os.environ["TMPDIR"] = tempfile.tempdir = place
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def watch(grace: float = GRACE) -> Iterator[None]:
    """Compare before and after the body.

    Raises:
        LeakError: The body left something that was still there after the grace.
    """
    before = standing()
    yield
    deadline = time.monotonic() + grace
    while (left := _leaks(before)) and time.monotonic() < deadline:
        time.sleep(0.05)
    if left:
        _kill_all(before)
        # A segment can be told to be ours only once its last holder is gone.
        raise LeakError("\n".join(["the test left behind:", *dict.fromkeys(left + _leaks(before))]))


def below() -> list[psutil.Process]:
    """List the living processes below ours, orphans included, but for Python's own helper for shared memory."""
    _reap()
    return [
        process
        for process in psutil.Process().children(recursive=True)
        if not _ended(process) and "resource_tracker" not in _describe(process)
    ]


def standing() -> Standing:
    """Look at what stands now."""
    return Standing(
        frozenset(psutil.Process().children(recursive=True)),
        frozenset(os.listdir(SHARED_MEMORY)),
        frozenset(os.listdir(tempfile.gettempdir())),
        frozenset(_listening(psutil.Process())),
    )


def _leaks(before: Standing) -> list[str]:
    strays = _strays(before)
    own = _listening(psutil.Process()) - before.ports
    return [
        *(_describe(process) for process in strays),
        *(f"a port: this process still listens on {port}" for port in sorted(own)),
        *(f"a segment: {path}" for path in _lost_entries(SHARED_MEMORY, before.segments, strays)),
        *(f"a file: {path}" for path in _lost_entries(Path(tempfile.gettempdir()), before.files, strays)),
    ]


def _strays(before: Standing) -> list[psutil.Process]:
    """List the living processes that neither stood before nor belong to one that did."""
    _reap()
    kept: set[psutil.Process] = set(before.processes)
    for process in before.processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            kept.update(process.children(recursive=True))
    now = psutil.Process().children(recursive=True)
    return [process for process in now if process not in kept and not _ended(process)]


def _reap() -> None:
    """Bury the orphans that we adopted and that have ended: nobody else waits for them."""
    for child in psutil.Process().children():
        if _ended(child):
            with contextlib.suppress(ChildProcessError):
                os.waitpid(child.pid, os.WNOHANG)


def _ended(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _describe(process: psutil.Process) -> str:
    try:
        command = " ".join(process.cmdline())[:120] or process.name()
    except psutil.NoSuchProcess:
        command = "(just ended)"
    ports = ", ".join(f"port {port}" for port in sorted(_listening(process)))
    return f"a process: {process.pid} {command}" + (f", listening on {ports}" if ports else "")


def _listening(process: psutil.Process) -> set[int]:
    try:
        connections = process.net_connections(kind="tcp")
    except psutil.Error:
        return set()
    return {c.laddr.port for c in connections if c.status == psutil.CONN_LISTEN}


def _lost_entries(folder: Path, before: Iterable[str], strays: Iterable[psutil.Process]) -> list[Path]:
    """List the new entries of a folder that only we, a stray or nobody holds."""
    new = {name for name in os.listdir(folder) if not name.startswith(_OTHERS)} - set(before)
    if new:  # seldom, and the look at all processes is not free
        ours = {os.getpid(), *(process.pid for process in strays)}
        names = _by_number(folder, new)
        for pid in set(psutil.pids()) - ours:
            new -= _held(pid, folder, names)
        new &= set(os.listdir(folder))  # others may have removed theirs meanwhile
    return [folder / name for name in sorted(new) if not _is_probe(folder / name)]


def _is_probe(path: Path) -> bool:
    try:
        return path.is_file() and path.stat().st_size == len(_PROBE) and path.read_bytes() == _PROBE
    except OSError:
        return False


def _by_number(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Return the names by the number of the file: a semaphore is mapped by its maker under a name that is gone."""
    numbers: dict[str, str] = {}
    for name in names:
        with contextlib.suppress(OSError):
            numbers[str((folder / name).lstat().st_ino)] = name
    return numbers


def _held(pid: int, folder: Path, names: Mapping[str, str]) -> set[str]:
    """Return the entries, of some by their number, that a process has mapped or open, or in which it has a file so."""
    process = Path("/proc", str(pid))
    paths: list[str] = []
    held: set[str] = set()
    with contextlib.suppress(OSError):  # it may have ended, or belong to someone else
        for line in (process / "maps").read_text(errors="replace").splitlines():
            if f"{folder}/" in line:
                *_, number, path = line.split(maxsplit=5)
                paths.append(path)
                held.add(names.get(number, ""))
        for link in (process / "fd").iterdir():
            with contextlib.suppress(OSError):  # a busy process has just closed this one
                paths.append(os.readlink(link))
    inside = [Path(path).relative_to(folder) for path in paths if Path(path).is_relative_to(folder)]
    return held | {path.parts[0] for path in inside if path.parts}


def _kill_all(before: Standing) -> None:
    for process in (strays := _strays(before)):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(strays, timeout=5)
    _reap()
