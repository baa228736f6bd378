"""A place for values and large payloads on a host whose memory the driver does not see; standard library only.

It is known from the private folder of the host. So whoever sweeps that, sweeps this too.
"""

import os

from rhapsody_parsl.hosts import folder, leftovers
from rhapsody_parsl.hosts.data_files import Place

__all__ = ("budget_of", "close", "memory_of", "open_place", "payloads_of", "sweep")

_SHARE = 0.25
"""Of a host's shared memory, that values may take unless the user says otherwise."""
_MEMORY = "/dev/shm"  # noqa: S108 - a folder of ours alone is made there
_TAKEN_WITHIN = 5.0


def memory_of(private: str) -> str:
    """Return the path of a folder in shared memory, by that of a private folder."""
    return os.path.join(_MEMORY, f"{os.path.basename(private)}-values")


def payloads_of(private: str) -> str:
    """Return the path of the folder for large payloads, beside the values, by that of a private folder."""
    return os.path.join(memory_of(private), "payloads")


def budget_of(memory: str, wish: int) -> int:
    """Return the most bytes in a folder of shared memory; a negative wish is none."""
    if wish >= 0 or not memory:
        return max(0, wish)
    host = os.statvfs(memory)
    return int(_SHARE * host.f_blocks * host.f_frsize)


def open_place(private: str, token: str, writer: str, wish: int, *, where: str, role: str) -> Place:
    """Make a place and tell the processes of this host of it.

    Args:
        private: The private folder here.
        token: See `Place`.
        writer: See `Place`.
        wish: See `budget_of`.
        where: See `Place`.
        role: See `Place`.

    Raises:
        OSError: There is no room on the disk.
    """
    memory = memory_of(private) if os.path.isdir(_MEMORY) else ""
    try:
        if memory:
            folder.take(memory, _TAKEN_WITHIN)
            os.mkdir(payloads_of(private), 0o700)
    except OSError:  # there is no room in it
        memory = ""
    place = Place(token, memory, os.path.join(private, "values"), writer, budget_of(memory, wish), where, role)
    os.makedirs(place.disk, 0o700, exist_ok=True)
    place.tell(private)
    return place


def close(private: str) -> None:
    """Remove the values of a place; idempotent. What lies in the private folder goes with that."""
    leftovers.remove_tree(memory_of(private))


def sweep(private: str) -> None:
    """Remove the private folders beside this one that nobody holds, and the places for values of such."""
    folder.sweep(private)
    folder.sweep(memory_of(private))
