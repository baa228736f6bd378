"""Large payloads between processes of one host: files in memory, so that only their names travel.

The driver makes one folder for all its blocks: arguments lie in it until their task is over, results in a folder for
each block until the driver has read them. A process that does not see the folder is on another host, and gets bytes.
"""

import contextlib
import mmap
import os
from collections.abc import Collection, Iterable
from typing import TypeVar

import msgspec

from rhapsody_parsl.hosts import folder, leftovers
from rhapsody_parsl.wire.malformed import MalformedFrame
from rhapsody_parsl.wire.messages import RESULT, Result, SharedPayload, Task

__all__ = (
    "SMALLEST",
    "SharedMemory",
    "block_folder",
    "check_shared",
    "deliver",
    "discard",
    "discard_block",
    "discard_results",
    "moved",
    "opened",
)

SMALLEST = 256 * 1024
"""Bytes of a payload from which on a file is cheaper than the sockets; measured with many tasks at once."""

_MEMORY = "/dev/shm"  # noqa: S108 - in a private folder
_KEPT_FREE = 0.5
"""Share of the host's shared memory that we leave to others, who may die of finding none."""

Item = TypeVar("Item", Task, Result)


class SharedMemory:
    """The driver's folder, held until it is closed or the driver ends.

    Attributes:
        path: Of the folder; "" when the host has no shared memory, or is not to use it.
    """

    def __init__(self) -> None:
        self.path = ""
        with contextlib.suppress(OSError):  # there is none, or no room in it: payloads travel in the messages
            path = folder.make(_MEMORY)
            self._held = folder.hold(path)
            folder.sweep(path)
            self.path = path

    def close(self) -> None:
        """Remove the folder; idempotent."""
        if self.path:
            leftovers.remove_tree(self.path)
            os.close(self._held)
            self.path = ""


def block_folder(path: str, block: str) -> str:
    """Make the folder for a block's results; return "" when the driver's folder is not on this host."""
    if not path or not os.path.isdir(path):
        return ""
    results = os.path.join(path, block)
    try:
        os.makedirs(results, 0o700, exist_ok=True)
    except OSError:  # no room
        return ""
    return results


def deliver(item: Item, path: str) -> Item:
    """Return an item as its receiver is to have it.

    Args:
        item: With its payload as bytes or as a shared payload.
        path: A folder that the receiver sees: a large payload is put there when there is room. "": it gets bytes, and
            none when the task is over and its file gone, for then nobody waits for what comes of it.
    """
    payload = item.payload
    if isinstance(payload, SharedPayload):
        return item if path else msgspec.structs.replace(item, payload=bytes(opened(item)))
    if not path or not isinstance(payload, bytes) or len(payload) < SMALLEST:
        return item
    name = str(item.id)
    if isinstance(item, Result):
        if item.kind != RESULT:
            return item  # the pilot may have to open it
        name += f".{os.getpid()}"  # of two that run one task, one is lost and may not know it yet
    shared = _write(os.path.join(path, name), payload)
    return msgspec.structs.replace(item, payload=shared) if shared else item


def check_shared(items: Iterable[Item], *folder: str) -> None:
    """See that each payload lies where its sender has to put it: whoever receives one opens and removes the file.

    Args:
        items: As they arrived.
        folder: The only one, as parts of its path; none if the first is "".

    Raises:
        MalformedFrame: One lies elsewhere.
    """
    for item in items:
        if isinstance(item.payload, SharedPayload):
            place, name = os.path.split(item.payload.path)
            if not folder[0] or place != os.path.join(*folder) or name in ("", ".", ".."):
                raise MalformedFrame(f"a payload is said to lie at {item.payload.path!r}")


def opened(item: Task | Result) -> bytes | memoryview:
    """Return the payload to be read; nothing when the task is over and its file is gone.

    A file is mapped: unpickling makes the only copy, and the map goes with the last look at it.

    Raises:
        TypeError: It is no payload that has arrived.
    """
    payload = item.payload
    if isinstance(payload, SharedPayload):
        try:
            with open(payload.path, "rb", buffering=0) as file:
                flags = mmap.MAP_SHARED | mmap.MAP_POPULATE
                return memoryview(mmap.mmap(file.fileno(), 0, flags=flags, prot=mmap.PROT_READ))
        except FileNotFoundError:
            return b""
    if isinstance(payload, int):
        raise TypeError("a payload arrives as bytes")
    return payload


def discard(item: Task | Result) -> None:
    """Remove what the payload takes, if it lies in a folder."""
    if isinstance(item.payload, SharedPayload):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(item.payload.path)


def moved(result: Result) -> Result:
    """Return a result for another host; its file here is gone then."""
    sent = deliver(result, "")
    discard(result)
    return sent


def discard_results(path: str, tasks: Collection[int]) -> None:
    """Remove results that nobody will read: of processes that were ended while they wrote, or after."""
    for name in os.listdir(path) if path and tasks else ():
        if int(name.partition(".")[0]) in tasks:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(path, name))


def discard_block(path: str, block: str) -> None:
    """Remove the folder of a block that is gone; what its processes still try to write there fails."""
    if path and block.isdecimal():  # whoever reaches our port chooses a name
        leftovers.remove_tree(os.path.join(path, block))


def _write(path: str, data: bytes) -> SharedPayload | None:
    """Write a file; None when there is no room, or no folder any more."""
    try:
        room = os.statvfs(os.path.dirname(path))
        if room.f_bavail * room.f_frsize - len(data) < _KEPT_FREE * room.f_blocks * room.f_frsize:
            return None
        with open(path, "xb") as file:  # written, not mapped: a file system that is full then says so
            file.write(data)
    except FileExistsError:
        return None
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(path)
        return None
    return SharedPayload(path, len(data))
