"""What dead runs have left on this host: told, and removed when that is wished."""

import glob
import os
import tempfile
from collections.abc import Iterator

from rhapsody_parsl.doctor.finding import Finding
from rhapsody_parsl.hosts import data_place, leftovers

__all__ = ("left_behind", "removed")

_NAMED = 5


def left_behind() -> Iterator[Finding]:
    """Yield what is there that nobody uses."""
    yield _finding(_unused(), "`rhapsody-parsl doctor --clean` removes it")


def removed() -> Iterator[Finding]:
    """Remove it, and yield what has gone and what stays."""
    before = _unused()
    data_place.sweep(os.path.join(tempfile.gettempdir(), "any"))
    after = _unused()
    gone = len(before) - len(after)
    yield Finding(area="left by dead runs", what="removed", said=f"{gone} of {len(before)}")
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
    size = sum(os.path.getsize(path) for path in paths if os.path.isfile(path))
    named = ", ".join(os.path.basename(path) for path in paths[:_NAMED])
    more = ", ..." if len(paths) > _NAMED else ""
    said = f"{len(paths)} left, {size / 1e6:.0f} MB: {named}{more}"
    return Finding(area="left by dead runs", what="here", said=said, mark="warning", remedy=remedy)
