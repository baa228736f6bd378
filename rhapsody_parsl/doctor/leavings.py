"""What dead runs have left on this host: told, and removed when that is wished."""

import glob
import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress

from rhapsody_parsl.doctor.finding import Finding
from rhapsody_parsl.hosts import data_place, leftovers

__all__ = ("left_behind", "removed")

_NAMED = 5
_MB = 1e6
_BLOCK = 512
"""Bytes; so stat counts."""


def left_behind() -> Iterator[Finding]:
    """Yield what is there that nobody uses."""
    yield _finding(_unused(), "`rhapsody-parsl doctor --clean` removes them")


def removed() -> Iterator[Finding]:
    """Remove it, and yield what has gone and what stays."""
    before = _unused()
    size = _size(before)
    data_place.sweep(os.path.join(tempfile.gettempdir(), "any"))
    after = _unused()
    freed = (size - _size(after)) / _MB
    said = f"{len(before) - len(after)} of {len(before)}, {freed:.0f} MB"
    yield Finding(area="left by dead runs", what="removed", said=said)
    if after:
        yield _finding(after, "Remove them by hand; they may be on a file system without locks")


def _unused() -> list[str]:
    places = (tempfile.gettempdir(), os.path.dirname(data_place.memory_of("any")))
    patterns = [os.path.join(glob.escape(place), f"rhapsody-{os.getuid()}-*") for place in places]
    folders = [found for pattern in patterns for found in glob.glob(pattern)]
    return [*leftovers.unused_folders(folders), *leftovers.unused_memory()]


def _finding(paths: list[str], remedy: str) -> Finding:
    if not paths:
        return Finding(area="left by dead runs", what="here", said="nothing")
    named = ", ".join(os.path.basename(path) for path in paths[:_NAMED])
    more = ", ..." if len(paths) > _NAMED else ""
    said = f"{len(paths)} left, {_size(paths) / _MB:.0f} MB: {named}{more}"
    return Finding(area="left by dead runs", what="here", said=said, mark="warning", remedy=remedy)


def _size(paths: list[str]) -> int:
    """Return the bytes that files and all in folders take; what Dragon never wrote in a file of its takes none."""
    taken = 0
    for path in paths:
        below = (os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names)
        for each in (path, *below):
            with suppress(OSError):  # it has gone meanwhile
                taken += _BLOCK * os.lstat(each).st_blocks
    return taken
