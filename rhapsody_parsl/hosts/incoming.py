"""Values whose content comes in a message: a thread writes them, for that may bring others to the disk."""

import asyncio
from collections.abc import Callable, Iterable, Sequence

from rhapsody_parsl.hosts.background import spawn
from rhapsody_parsl.hosts.data_files import DataFiles

__all__ = ("Incoming",)

_DROPPED = "nobody needed it any more"


class Incoming:
    """Those of a host, on the running event loop, which waits for no disk.

    Args:
        files: Where they go.
    """

    def __init__(self, files: DataFiles) -> None:
        self._files = files
        self._coming: dict[str, asyncio.Task[None]] = {}
        self._dropped: set[asyncio.Task[None] | None] = set()

    def __contains__(self, key: str) -> bool:
        return key in self._coming

    def write(self, key: str, pieces: Sequence[bytes], done: Callable[[str], None]) -> None:
        """Have a value here.

        Args:
            key: The value's.
            pieces: Its content.
            done: Called with "" when it is here, or with why it is not.
        """
        before = self._coming.get(key)
        self._coming[key] = spawn(self._write(key, pieces, done, before), f"write value {key}")

    def drop(self, keys: Iterable[str]) -> None:
        """Nobody needs these any more; any thread may say so, which then removes what is here."""
        self._dropped.update(filter(None, map(self._coming.get, keys)))

    async def _write(
        self, key: str, pieces: Sequence[bytes], done: Callable[[str], None], before: asyncio.Task[None] | None
    ) -> None:
        """Write it, after the one of this key before it: that may have been dropped, and goes then."""
        if before:
            await asyncio.wait([before])
        problem, ours = "", asyncio.current_task()
        try:
            await asyncio.to_thread(self._files.write, key, pieces)
        except (OSError, RuntimeError) as why:  # no thread can be had either
            problem = str(why)
        if self._coming[key] is ours:
            del self._coming[key]
        if ours in self._dropped:
            self._dropped.remove(ours)
            self._files.drop(key)
            problem = _DROPPED
        done(problem)
