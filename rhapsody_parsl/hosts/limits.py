"""What the system allows us: open files, whose soft limit is raised to what is needed, processes, shared memory.

Standard library only. Most systems set a soft limit of 1,024 open files, for programs that use `select`, and a hard one
far above. What we start gets the limit that the job came with.
"""

import contextlib
import errno
import os
import resource
import threading
from collections.abc import Mapping, Sequence

__all__ = (
    "allow", "as_the_job", "can_start", "check_room", "few_processes", "free_memory", "hard", "inherit",
    "little_memory", "of_the_job", "raised", "shortage", "soft", "take_on", "umask", "with_more",
)  # fmt: skip

_ROOM = 8
"""Descriptors that the start of a process takes for a moment."""
_FEW_PROCESSES = 8
_LITTLE_MEMORY = 1 << 30
_LOW_LIMITS = (
    (resource.RLIMIT_FSIZE, 8 << 30, "a file may have {} MB (ulimit -f)"),
    (resource.RLIMIT_AS, 16 << 30, "a process may have {} MB of addresses (ulimit -v)"),
    (resource.RLIMIT_DATA, 16 << 30, "a process may have {} MB of data (ulimit -d)"),
)
"""Limits that most systems do not set, with the bytes that are enough for engines."""
_MEMORY = "/dev/shm"  # noqa: S108 - looked at, not written
_WITH_LIMIT = ("/bin/sh", "-c", 'ulimit -S -n "$0" && exec "$@"')
_WITH_MORE = (
    "/bin/sh", "-c", '[ "$(ulimit -S -n)" = unlimited ] || [ "$(ulimit -S -n)" -ge "$0" ] || '
    '{ ulimit -S -n "$0" || ulimit -S -n "$(ulimit -H -n)"; } 2>/dev/null; exec "$@"',
)  # fmt: skip
_OPEN_FILES = ("RLIMIT_NOFILE", "RLIMIT_OFILE")
_job: "list[int]" = []
"""The soft limit before we raised it."""


def allow(more: int) -> int:
    """Raise the soft limit so far that this process can open more files; return how many are missing, 0 if none.

    Args:
        more: How many, beside those that are open.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = len(os.listdir("/proc/self/fd")) + more
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return 0
    raised = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if raised > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
        _job.append(soft)
    return needed - raised


def hard() -> int:
    """Return the hard limit."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def of_the_job() -> int:
    """Return the soft limit that the job came with."""
    return _job[0] if _job else resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def raised() -> "tuple[int, int]":
    """Return the soft limit now, and the one that the job came with: for a process that inherits the first."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0], of_the_job()


def inherit(now: int, job: int) -> None:
    """Learn what the soft limit was before who started us raised it.

    Args:
        now: As that one has it; with another limit it was not inherited, and is the job's own.
        job: As it was.
    """
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] == now != job:
        _job.append(job)


def soft() -> "dict[str, int]":
    """Return the soft limits that what we start gets, by their names; but that of open files, which has its own way."""
    kinds = [name for name in dir(resource) if name.startswith("RLIMIT_") and name not in _OPEN_FILES]
    return {name: resource.getrlimit(getattr(resource, name))[0] for name in kinds}


def take_on(soft: "Mapping[str, int]") -> None:
    """Have soft limits of another host, as far as the hard ones of this one allow."""
    for name, wanted in soft.items():
        kind = getattr(resource, name)
        now, hard = resource.getrlimit(kind)
        most = (limit for limit in (wanted, hard) if limit != resource.RLIM_INFINITY)
        if (allowed := min(most, default=resource.RLIM_INFINITY)) != now:
            resource.setrlimit(kind, (allowed, hard))


def umask() -> int:
    """Return which permissions new files do not get."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def as_the_job(argv: "Sequence[str]", soft: "int | None" = None) -> "list[str]":
    """Return the argv that starts a command with the soft limit that the job came with.

    Args:
        argv: The command's.
        soft: That limit, for who was told.
    """
    soft = of_the_job() if soft is None else soft
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] == soft:
        return list(argv)
    return [*_WITH_LIMIT, "unlimited" if soft == resource.RLIM_INFINITY else str(soft), *argv]


def with_more(files: int, argv: "Sequence[str]") -> "list[str]":
    """Return the argv that starts a command that may open so many files, as far as the hard limit there allows."""
    return [*_WITH_MORE, str(files), *argv]


def check_room(more: int = _ROOM) -> None:
    """See that this process can open so many files now, for what cannot be undone half-way.

    Raises:
        OSError: It cannot.
    """
    with contextlib.ExitStack() as opened:
        for _ in range(more):
            opened.callback(os.close, os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))


def few_processes(needed: int) -> str:
    """Return, for people, that this user cannot have so many more processes and threads here; "" when they can."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    if not os.geteuid() or limit == resource.RLIM_INFINITY or (left := limit - _threads()) >= needed:
        return ""
    return (
        f"{needed} processes and threads are needed, and this user may have {max(0, left)} more (ulimit -u is {limit})"
    )


def can_start(threads: int) -> bool:
    """Whether this process can have so many more threads now: where a library needs one, it aborts the process."""
    over = threading.Event()
    started: list[threading.Thread] = []
    try:
        for _ in range(threads):
            thread = threading.Thread(target=over.wait, daemon=True)
            thread.start()
            started.append(thread)
    except RuntimeError:
        return False
    finally:
        over.set()
        for thread in started:
            thread.join()
    return True


def little_memory(needed: int) -> str:
    """Return, for people, that this host has not so many bytes of shared memory left; "" when it has."""
    try:
        free = free_memory()
    except OSError as problem:
        return f"{_MEMORY} cannot be used ({problem.strerror})"
    return f"{_MEMORY} has {free >> 20} MB free" if free < needed else ""


def free_memory() -> int:
    """Return the bytes of shared memory that this host has left, of a file system's size.

    Raises:
        OSError: It has none.
    """
    memory = os.statvfs(_MEMORY)
    if memory.f_flag & os.ST_RDONLY:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))
    return memory.f_bavail * memory.f_frsize


def shortage() -> str:
    """Return what is scarce on this host, for people who ask why something did not start; "" when nothing is."""
    found = [why for why in (few_processes(_FEW_PROCESSES), little_memory(_LITTLE_MEMORY)) if why]
    for kind, enough, told in _LOW_LIMITS:
        soft = resource.getrlimit(kind)[0]
        if soft != resource.RLIM_INFINITY and soft < enough:
            found.append(told.format(soft >> 20))
    try:
        check_room()
    except OSError as problem:
        found.append(f"the limit of open files is {resource.getrlimit(resource.RLIMIT_NOFILE)[0]} ({problem.strerror})")
    return "; ".join(found)


def _threads() -> int:
    """Return how many processes and threads this user has, as far as they can be seen."""
    count = 0
    for entry in os.scandir("/proc"):
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and entry.stat().st_uid == os.geteuid():
                count += len(os.listdir(f"/proc/{entry.name}/task"))
    return count
