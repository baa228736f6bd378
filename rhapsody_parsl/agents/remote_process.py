"""A guarded process on another host, as the pilot sees it: a block has a hundred thousand, so it is small."""

import asyncio
from collections.abc import Callable, Mapping
from types import MappingProxyType

from rhapsody_parsl.agents.words import Kill, Release

__all__ = ("RemoteProcess",)

_NONE: Mapping[str, int] = MappingProxyType({})


class RemoteProcess:
    """One process; `reason` says why when its end is not its own.

    Args:
        number: Its number on its host.
        tell: Tells its host's agent something.
        name: What it calls itself, if it does.
        on_end: Called with it in the turn of the loop after its end, for who has too many to wait for each.

    Attributes:
        name: As given.
        on_end: As given.
        returncode: None while it lives.
        reason: Why it ended, when that is no exit code of its own.
        begun: The task that each worker that ended with it began last.
        waits: Whether it is still to be started, after others.
    """

    __slots__ = ("_number", "_over", "_tell", "begun", "name", "on_end", "reason", "returncode", "waits")

    def __init__(
        self,
        number: int,
        tell: Callable[[Release | Kill], None],
        name: str = "",
        on_end: "Callable[[RemoteProcess], None] | None" = None,
    ) -> None:
        self._number, self._tell, self.name, self.on_end = number, tell, name, on_end
        self._over: asyncio.Event | None = None
        self.returncode: int | None = None
        self.reason = ""
        self.begun = _NONE
        self.waits = True

    async def wait(self) -> int:
        """Wait for its end and return the exit code of its guard."""
        if self.returncode is None:
            self._over = self._over or asyncio.Event()
            await self._over.wait()
        return self.returncode or 0

    def release(self) -> None:
        """Have the guard end it and all below it."""
        self._tell(Release(self._number))

    def kill(self) -> None:
        """Kill its guard."""
        self._tell(Kill(self._number))

    def ended(self, code: int, reason: str = "", begun: Mapping[str, int] = _NONE) -> None:
        """Note its end."""
        self.waits = False
        if self.returncode is not None:
            return
        self.returncode, self.reason, self.begun = code, reason, begun
        if self._over:
            self._over.set()
        if self.on_end:
            asyncio.get_running_loop().call_soon(self.on_end, self)
