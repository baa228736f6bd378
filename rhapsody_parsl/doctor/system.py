"""What the system allows this user here, and by which addresses this host is reached."""

import os
import resource
import socket
import tempfile
from collections.abc import Iterator

from rhapsody_parsl.doctor.finding import Finding
from rhapsody_parsl.executors.addresses import own_addresses
from rhapsody_parsl.hosts import limits

__all__ = ("addresses", "allowed")

_FEW_FILES = 4096
_LITTLE_MEMORY = 1 << 30
_GB = 1e9
_MEMORY = "/dev/shm"  # noqa: S108 - looked at, not written


def allowed() -> Iterator[Finding]:
    """Yield the limits."""
    yield _files()
    yield _processes()
    yield _memory()
    place = tempfile.gettempdir()
    room = os.statvfs(place)
    free = room.f_bavail * room.f_frsize
    yield Finding(
        area="limits", what="temporary files", said=f"{place}, {free / _GB:.1f} GB free",
        mark="ok" if free > _LITTLE_MEMORY else "warning", remedy="" if free > _LITTLE_MEMORY else "Set TMPDIR",
    )  # fmt: skip
    if scarce := limits.shortage():
        yield Finding(area="limits", what="scarce", said=scarce, mark="warning")


def _files() -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = 0 <= hard < _FEW_FILES
    return Finding(
        area="limits",
        what="open files",
        said=f"{_number(soft)}, raised up to {_number(hard)} when a block needs more",
        mark="warning" if few else "ok",
        remedy="Ask for a higher hard limit (ulimit -Hn)" if few else "",
    )


def _processes() -> Finding:
    soft, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    return Finding(area="limits", what="processes and threads", said=f"{_number(soft)} of this user")


def _memory() -> Finding:
    try:
        there = os.statvfs(_MEMORY)
    except OSError as problem:
        return Finding(area="limits", what=_MEMORY, said=f"cannot be used: {problem.strerror}", mark="problem")
    free, size = there.f_bavail * there.f_frsize, there.f_blocks * there.f_frsize
    little = free < _LITTLE_MEMORY
    return Finding(
        area="limits",
        what=_MEMORY,
        said=f"{free / _GB:.1f} of {size / _GB:.1f} GB free",
        mark="warning" if little else "ok",
        remedy="Dragon and MPI need about 1 GB: `rhapsody-parsl doctor --clean`, or a larger one" if little else "",
    )


def _number(limit: int) -> str:
    return "no limit" if limit == resource.RLIM_INFINITY else f"{limit:,}"


def addresses() -> Iterator[Finding]:
    """Yield where nodes find a driver on this host."""
    found = own_addresses()
    alone = all(address.startswith("127.") for address in found)
    yield Finding(
        area="network",
        what=socket.gethostname(),
        said=f"nodes try {', '.join(found)}",
        mark="warning" if alone else "ok",
        remedy="Only blocks on this host reach a driver here" if alone else "",
    )
