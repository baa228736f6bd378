"""What dead processes leave in shared memory and on disk: told from what the living use, and removed.

Standard library only. A name tells neither whose a file is nor whether it is alive: Dragon names its memory by three
digits of a user and three of a process. The kernel knows: it tells a file's owner, and whether any process of the
machine, in whatever container, has the file open or mapped. A folder is in use while somebody holds its lock.
"""

import contextlib
import fcntl
import fnmatch
import glob
import os
import re
import select
import signal
import stat
import time
from collections.abc import Callable, Iterable, Sequence

__all__ = (
    "empty",
    "lock",
    "mapped_by",
    "mpi_segments",
    "remove_folder",
    "remove_tree",
    "remove_unused",
    "sweep",
    "sweep_memory",
    "unused_folders",
    "unused_memory",
)

_MEMORY = "/dev/shm"  # noqa: S108 - where engines put theirs
_HELD = ".held"
_MPI = (
    "mpich_shm_*", "mpich_vci_*", "sm_segment.*", "vader_segment.*",
    "ucx_shm_posix_*", "psm2_shm.*", "psm3_shm.*", "Intel_MPI_*",
)  # fmt: skip
_TOLD_BY_HYDRA = "/tmp/hydra_hwloc_xmlfile_*"  # noqa: S108 - wherever TMPDIR is
"""A host's processors, for ranks that start; removed by Hydra unless it is killed. Ranks do without."""
_TRACKED = ("psm_*", "torch_*", "nccl-*", "sem.mp-*", "sem.loky-*")
"""A tracker removes these with the processes that made them, unless it was killed."""
_POOL = re.compile(r"D(.+)([DM])")
_RUNTIME_POOL = re.compile(r"DD.*(inf|def|log)_?\d[DM]")
"""A pool of Dragon's is two files: its manifest and its data. A runtime's own are known without the other, too."""
_MOMENT = 0.002
"""Seconds, eight times this at most, before a second look."""
_JUST_MADE = 60.0
"""Seconds in which a file may be unmapped as its maker has not come to that yet, where the kernel has no leases."""


# --- what is in use --------------------------------------------------------------------------------------------------


def lock(folder: str) -> "int | None":
    """Lock a folder; the lock is the descriptor's, and goes with its last copy.

    Returns:
        The descriptor, not inheritable; None when somebody else has the lock or the folder is gone.

    Raises:
        OSError: The file system has no locks, or the folder is not ours.
    """
    path = os.path.join(folder, _HELD)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), os.lstat(path)):  # else it was removed before we had the lock
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def _unused(path: str) -> bool:
    """Whether nobody has a file of ours open or mapped: only then the kernel grants a lease for writing."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)  # who opens it meanwhile has us told: SIGIO would end us
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:  # no leases here: the look at all processes has to do, which may not see those of a container
        return time.time() - os.fstat(descriptor).st_mtime > _JUST_MADE
    finally:
        os.close(descriptor)
    return True


def _free(paths: "Iterable[str]") -> "set[str]":
    """Those of the files that nobody uses."""
    there = set(paths)
    free = {path for path in there if _unused(path)}
    if there - free:  # who looks, as we do, has a file open for a moment
        select.select([], [], [], _MOMENT * (1 + os.getpid() % 8))  # not the same one as theirs
        free |= {path for path in there - free if _unused(path)}
    return free - _mapped(free)


def _mapped(paths: "Iterable[str]") -> "set[str]":
    """Those of the files that a living process has mapped, as far as we see."""
    wanted, used = {path: _number(path) for path in paths}, set[str]()
    for entry in os.listdir("/proc") if wanted else ():
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/maps") as maps:
                    text = maps.read()
            except OSError:
                continue
            used |= {path for path, number in wanted.items() if path in text or number in text}
    return used


def _number(path: str) -> str:
    """Return what tells a file in a list of maps, which has its first name: a semaphore is made under another one."""
    try:
        found = os.lstat(path)
    except OSError:
        return path
    return f" {os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x} {found.st_ino} "


# --- what is whose ---------------------------------------------------------------------------------------------------


def _made_by_engines() -> "list[str]":
    """Return the shared memory and files of our user's that engines have made on this host, the living and the dead."""
    names = set(os.listdir(_MEMORY)) if os.path.isdir(_MEMORY) else set[str]()
    made = {name for name in names if _is_pool(name, names) or any(fnmatch.fnmatch(name, one) for one in _MPI)}
    paths = [*(os.path.join(_MEMORY, name) for name in sorted(made)), *glob.glob(_TOLD_BY_HYDRA)]
    return [path for path in paths if _is_ours(path)]


def _is_pool(name: str, names: "set[str]") -> bool:
    """Whether it is a part of a pool of Dragon's."""
    part = _POOL.fullmatch(name)
    if part is None:
        return False
    return f"D{part[1]}{'D' if part[2] == 'M' else 'M'}" in names or _RUNTIME_POOL.fullmatch(name) is not None


def _is_ours(path: str) -> bool:
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid()


def mpi_segments(pids: "Iterable[int]") -> "set[str]":
    """Return the shared memory that MPI has in some processes: its library removes it only at an end of their own.

    What has no name any more does not count.
    """
    return _named(pids, _MPI)


def mapped_by(pids: "Iterable[int]") -> "set[str]":
    """Return the shared memory of some processes that has to be removed when they are killed with their trackers."""
    return _named(pids, (*_MPI, *_TRACKED))


def _named(pids: "Iterable[int]", patterns: "Sequence[str]") -> "set[str]":
    used = set[str]()
    for pid in pids:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/maps") as maps:
            used |= {" {3} {4} ".format(*line.split(None, 5)) for line in maps if f"{_MEMORY}/" in line}
    names = os.listdir(_MEMORY) if used else ()
    there = {os.path.join(_MEMORY, name) for pattern in patterns for name in fnmatch.filter(names, pattern)}
    return {path for path in there if _number(path) in used}


def unused_memory() -> "list[str]":
    """Return the shared memory and files of engines on this host that nobody uses."""
    return sorted(_free(_made_by_engines()))


def unused_folders(folders: "Iterable[str]") -> "list[str]":
    """Return those of some folders of ours that nobody holds; each is looked at with its lock taken for a moment."""
    return [folder for folder in folders if _is_our_folder(folder) and _is_free(folder)]


def _is_our_folder(folder: str) -> bool:
    try:
        found = os.lstat(folder)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()


def _is_free(folder: str) -> bool:
    try:
        held = lock(folder)
    except OSError:
        return False
    if held is not None:
        os.close(held)
    return held is not None


# --- removed ---------------------------------------------------------------------------------------------------------


def remove_unused(paths: "Iterable[str]") -> bool:
    """Remove files that nobody uses; return whether one stays."""
    there = {path for path in paths if os.path.lexists(path)}
    free = _free(there)
    for path in free:
        with contextlib.suppress(OSError):
            os.unlink(path)
    return bool(there - free)


def empty(folder: str) -> None:
    """Remove all that is in a folder of ours but its lock, as far as that can be done."""
    for entry in os.scandir(folder):
        if entry.name != _HELD:
            if entry.is_dir(follow_symlinks=False):
                remove_tree(entry.path)
            else:
                with contextlib.suppress(OSError):
                    os.unlink(entry.path)


def remove_folder(folder: str) -> bool:
    """Remove a folder of ours that nobody holds; return whether it stays."""
    with contextlib.suppress(OSError):
        if (held := lock(folder)) is not None:
            remove_tree(folder)
            os.close(held)
    return os.path.exists(folder)


def remove_tree(folder: str) -> None:
    """Remove a folder with all in it, as far as that can be done."""
    import shutil  # noqa: PLC0415 - loads three libraries for archives; guards and workers seldom have anything here

    shutil.rmtree(folder, ignore_errors=True)


def sweep(patterns: "Sequence[str]", patience: float = 0.0) -> None:
    """Remove files and folders that nobody uses.

    Args:
        patterns: Globs.
        patience: Seconds to try again while one is in use, or somebody writes in a folder.
    """
    _again(lambda: _sweep_once(patterns), patience)


def sweep_memory(patience: float = 0.0) -> None:
    """Remove the shared memory of engines that have died on this host, and what Hydra has left in files.

    Args:
        patience: Seconds to try again while some is in use: it may be of those that live, or of the dying.
    """
    _again(lambda: remove_unused(_made_by_engines()), patience)


def _again(remove: "Callable[[], bool]", patience: float) -> None:
    deadline = time.monotonic() + patience
    while remove() and time.monotonic() < deadline:
        select.select([], [], [], 0.2)


def _sweep_once(patterns: "Sequence[str]") -> bool:
    """Remove; return whether something stays."""
    found = {path for pattern in patterns for path in glob.glob(pattern)}
    folders = {path for path in found if os.path.isdir(path) and not os.path.islink(path)}
    stays = [remove_folder(folder) for folder in folders]
    return remove_unused(found - folders) or any(stays)
