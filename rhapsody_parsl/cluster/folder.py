"""The private folder of a block on one host: made, held for as long as its owner lives, swept when no owner is left.

Standard library only. Whoever holds a folder holds a lock on a file in it; a folder without a holder is what a kill -9
of everything left (as when Slurm ends a step), and the next block of ours on the host removes it.
"""

import contextlib
import errno
import fcntl
import glob
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator

from rhapsody_parsl.cluster import guard

__all__ = ("hold", "make", "make_for_sockets", "sweep", "take")

_HELD = ".held"
_LONGEST_PLACE = 36
"""Bytes. A Unix socket's path has 107 at most; below this come the folder, a replica's folder, and names of vLLM's."""
_SHORT_PLACES = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - mkdtemp makes a private folder there
_JUST_MADE = 60.0
"""Seconds in which a folder may be without a lock, and memory unmapped, because its maker has not come to that yet."""


def make(place: str | None = None) -> str:
    """Make a new one, on the host's local disk unless told where."""
    return tempfile.mkdtemp(prefix=f"rhapsody-{os.getuid()}-", dir=place)


def make_for_sockets() -> str:
    """Make a new one for a block: where files for a while lie, or where there are room and a shorter path.

    Raises:
        OSError: It can be made nowhere.
    """
    problem = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    for place in _places():
        try:
            return make(place)
        except OSError as why:
            problem = why
    tried = f"TMPDIR ({os.environ.get('TMPDIR', 'not set')}), {', '.join(_SHORT_PLACES)}"
    remedy = f"set TMPDIR to a folder with free space and a path of at most {_LONGEST_PLACE} characters"
    raise OSError(problem.errno, f"no place for the block's private folder among {tried}: {problem}; {remedy}")


def _places() -> Iterator[str]:
    """Yield where a folder may be made whose sockets have a short path, the best first."""
    with contextlib.suppress(FileNotFoundError):  # there is room nowhere that Python looks
        place = tempfile.gettempdir()
        if len(os.fsencode(place)) <= _LONGEST_PLACE:
            yield place
    yield from _SHORT_PLACES


def take(folder: str) -> bool:
    """Make the folder of this name; one that an owner before us left counts, if it is ours alone.

    Returns:
        Whether the one it lies in was made too: PBS has a job's `TMPDIR` on the first host only.

    Raises:
        OSError: It cannot be made, or is not ours alone.
    """
    made = False
    with contextlib.suppress(FileExistsError):
        os.mkdir(os.path.dirname(folder), 0o700)
        made = True
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder, 0o700)
    found = os.lstat(folder)
    if found.st_uid != os.geteuid() or found.st_mode != stat.S_IFDIR | 0o700:
        raise PermissionError(f"{folder} is not a folder of ours alone")
    return made


def hold(folder: str) -> int:
    """Hold a folder until this process ends, also across an exec; return the descriptor that does it."""
    descriptor = os.open(os.path.join(folder, _HELD), os.O_RDWR | os.O_CREAT, 0o600)
    os.set_inheritable(descriptor, True)
    with contextlib.suppress(BlockingIOError):  # an owner before us is about to end
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return descriptor


def sweep(beside: str) -> None:
    """Remove the folders of ours beside this one that nobody holds, and the shared memory that died with them.

    Old memory also without such a folder: the guard that removed that may have been killed before it was done.
    """
    found_any = False
    pattern = os.path.join(glob.escape(os.path.dirname(beside)), f"rhapsody-{os.getuid()}-*")
    for folder in set(glob.glob(pattern)) - {beside}:
        with contextlib.suppress(OSError):
            found = os.lstat(folder)
            if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and _is_free(folder, found.st_mtime):
                shutil.rmtree(folder, ignore_errors=True)
                found_any = True
    guard.sweep((guard.DRAGON_SEGMENTS, *guard.MPI_SEGMENTS), age=0.0 if found_any else _JUST_MADE)


def _is_free(folder: str, changed: float) -> bool:
    try:
        descriptor = os.open(os.path.join(folder, _HELD), os.O_RDWR)
    except FileNotFoundError:
        return time.time() - changed > _JUST_MADE
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True
