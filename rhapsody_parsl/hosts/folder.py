"""The private folder of a block on one host: made and held in one step, swept when no owner is left.

Standard library only. Whoever holds a folder holds the lock of a file in it. A node agent lets all of its guards hold
its own, too: so it is free once nothing of that agent's life is there. A folder without a holder is what a kill -9 of
everything left (as when Slurm ends a step), and the next block of ours on the host removes it. Who removes a
folder takes its lock first. So a maker that comes too late to the lock of a new one has lost it, and makes another.
"""

import contextlib
import errno
import glob
import os
import select
import stat
import time
from collections.abc import Iterator

from rhapsody_parsl.hosts import leftovers

__all__ = ("hold", "make", "make_for_sockets", "places", "sweep", "take", "write_private")

_TAKEN_WITHIN = 30.0
"""Seconds that an owner before us may take to leave."""


_descriptors: dict[str, int] = {}
"""Of the folders that this process made: what holds them."""
_LONGEST_PLACE = 36
"""Bytes. A Unix socket's path has 107 at most; below this come the folder, a replica's folder, and names of vLLM's."""
_SHORT_PLACES = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - mkdtemp makes a private folder there


def make(place: str | None = None) -> str:
    """Make a new one, on the host's local disk unless told where, and hold it until this process ends.

    Raises:
        OSError: It cannot be made or locked.
    """
    from tempfile import mkdtemp  # noqa: PLC0415 - takes longer to import than all else here

    while True:
        folder = mkdtemp(prefix=f"rhapsody-{os.getuid()}-", dir=place)
        if _try_to_hold(folder):  # else a sweeper has it, and removes it
            return folder


def _try_to_hold(folder: str) -> bool:
    descriptor = leftovers.lock(folder)
    if descriptor is not None:
        _descriptors[folder] = descriptor
    return descriptor is not None


def hold(folder: str) -> int:
    """Take over what holds a folder that this process made or took: whoever has the descriptor, or a copy, holds it on.

    It is not inheritable.
    """
    return _descriptors.pop(folder)


def make_for_sockets() -> str:
    """Make a new one for a block: where files for a while lie, or where there are room and a shorter path.

    Raises:
        OSError: It can be made nowhere.
    """
    problem = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    for place in places():
        try:
            return make(place)
        except OSError as why:
            problem = why
    tried = f"TMPDIR ({os.environ.get('TMPDIR', 'not set')}), {', '.join(_SHORT_PLACES)}"
    remedy = f"set TMPDIR to a folder with free space and a path of at most {_LONGEST_PLACE} characters"
    raise OSError(problem.errno, f"no place for the block's private folder among {tried}: {problem}; {remedy}")


def places() -> Iterator[str]:
    """Yield where a folder may be made whose sockets have a short path, the best first."""
    from tempfile import gettempdir  # noqa: PLC0415 - takes longer to import than all else here

    with contextlib.suppress(FileNotFoundError):  # there is room nowhere that Python looks
        place = gettempdir()
        if len(os.fsencode(place)) <= _LONGEST_PLACE:
            yield place
    yield from _SHORT_PLACES


def take(folder: str, within: float = _TAKEN_WITHIN) -> bool:
    """Make the folder of this name, empty, and hold it until this process ends; one that an owner before us left is it.

    Args:
        folder: Its path.
        within: Seconds to wait while an owner before us has not left.

    Returns:
        Whether the one it lies in was made too: PBS has a job's `TMPDIR` on the first host only.

    Raises:
        OSError: It cannot be made, is not ours alone, or its owner stays.
    """
    deadline, made = time.monotonic() + within, False
    while True:
        made |= _make_named(folder)
        if _try_to_hold(folder):
            leftovers.empty(folder)
            return made
        if time.monotonic() > deadline:
            raise OSError(errno.EBUSY, f"processes of ours still hold it after {within:g} s", folder)
        select.select([], [], [], 0.1)


def _make_named(folder: str) -> bool:
    made = False
    with contextlib.suppress(FileExistsError):
        os.mkdir(os.path.dirname(folder), 0o700)
        made = True
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder, 0o700)
    with contextlib.suppress(FileNotFoundError):  # an owner before us has just removed it
        found = os.lstat(folder)
        if found.st_uid != os.geteuid() or found.st_mode != stat.S_IFDIR | 0o700:
            raise PermissionError(f"{folder} is not a folder of ours alone")
    return made


def sweep(beside: str) -> None:
    """Remove the folders of ours beside this one that nobody holds, and the shared memory of engines that have died."""
    for folder in glob.glob(os.path.join(glob.escape(os.path.dirname(beside)), f"rhapsody-{os.getuid()}-*")):
        with contextlib.suppress(OSError):
            found = os.lstat(folder)
            if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid():
                leftovers.remove_folder(folder)
    leftovers.sweep_memory()


def write_private(path: str, text: str) -> None:
    """Write a file that only we can read, or run if it is a script, in a folder that only we can enter."""
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    mode = 0o700 if text.startswith("#!") else 0o600
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as file:
        file.write(text)
