"""Large payloads between a node agent and the processes of its host: files in its memory, as on the pilot's host.

Each process has a folder, which goes with it: whatever ends the process, nothing stays. A message is opened for this
only when it has such a payload, and what that takes is loaded with the first one.
"""

import contextlib
import os
from collections.abc import Collection

from rhapsody_parsl.hosts import leftovers

__all__ = ("LargePayloads", "folder_of")

_LARGE = 256 * 1024
"""Bytes of a frame: `shared_memory.SMALLEST`."""


def folder_of(payloads: str, exchange: str, peer: str) -> str:
    """Return the path of a process's folder.

    Args:
        payloads: The folder for all of the host.
        exchange: Where the process speaks.
        peer: Its name.
    """
    return f"{payloads}/{exchange}.{peer}"


class LargePayloads:
    """Those of the processes of an exchange.

    Args:
        payloads: The folder for all of the host; where it is missing, payloads stay in their messages.
        exchange: The name of the exchange.
    """

    def __init__(self, payloads: str, exchange: str) -> None:
        self._payloads, self._exchange = payloads, exchange
        self._mark = payloads.encode()
        self._folders: dict[str, str] = {}
        self._given: dict[str, set[int]] = {}

    def to(self, peer: str, frames: list[bytes]) -> list[bytes]:
        """Return a message to a process, with its large payloads in files as far as there is room."""
        folder = self._folders.get(peer)
        if not folder or max(map(len, frames)) < _LARGE:
            return frames
        from rhapsody_parsl.wire.in_files import put  # noqa: PLC0415 - see the module

        frames, given = put(frames, folder)
        if given:
            self._given.setdefault(peer, set()).update(given)
        return frames

    def of(self, peer: str, frames: list[bytes]) -> list[bytes]:
        """Return a message of a process with the payloads that it has put into files.

        Raises:
            MalformedFrame: It is none, or one lies elsewhere.
        """
        folder = self._folders.get(peer)
        if folder is None:
            folder = self._folders[peer] = self._made(peer)
        if not (folder and (peer in self._given or self._mark in frames[0])):
            return frames
        from rhapsody_parsl.wire.in_files import taken  # noqa: PLC0415 - see the module

        frames, over = taken(frames, folder)
        self._remove(peer, folder, over)
        return frames

    def left(self, peer: str) -> None:
        """A process is gone: what it has not read nobody will, and nobody reads what it has not told."""
        self._given.pop(peer, None)
        if folder := self._folders.pop(peer, ""):
            leftovers.empty(folder)
            with contextlib.suppress(OSError):
                os.rmdir(folder)

    def _made(self, peer: str) -> str:
        folder = folder_of(self._payloads, self._exchange, peer)
        try:
            os.mkdir(folder, 0o700)
        except OSError:  # no room, or no shared memory
            return ""
        return folder

    def _remove(self, peer: str, folder: str, over: Collection[int]) -> None:
        """Remove the arguments of tasks that a process has no more."""
        given = self._given.get(peer, set())
        for task in given.intersection(over):
            given.discard(task)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(folder, str(task)))
        if not given:
            self._given.pop(peer, None)
