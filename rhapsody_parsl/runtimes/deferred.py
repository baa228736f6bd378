"""Telling the pilot of tasks at the end of this turn of the loop, for it hears of none within a call of its own."""

import asyncio
from collections.abc import Sequence

from rhapsody_parsl.errors import RhapsodyError
from rhapsody_parsl.runtimes.protocol import Events
from rhapsody_parsl.wire.messages import Result

__all__ = ("Deferred",)


class Deferred:
    """The part of `Events` that is about tasks, deferred; results that come in one turn go as one for each run.

    For what a runtime finds out within `run`, `end` or `cancel`. What comes from its processes is told directly.

    Args:
        events: The pilot's.
    """

    def __init__(self, events: Events) -> None:
        self._events = events
        self._done: dict[int, list[Result]] = {}

    def done(self, run: int, results: Sequence[Result]) -> None:
        """These tasks of a run ended."""
        if not self._done:
            asyncio.get_running_loop().call_soon(self._flush)
        self._done.setdefault(run, []).extend(results)

    def returned(self, run: int, tasks: Sequence[int]) -> None:
        """These tasks of a run had not begun and will not."""
        asyncio.get_running_loop().call_soon(self._events.returned, run, tasks)

    def lost(self, run: int, error: RhapsodyError, untouched: Sequence[int] = ()) -> None:
        """A run is over: its tasks are lost with `error`, but for the untouched ones, which had not begun."""
        asyncio.get_running_loop().call_soon(self._events.lost, run, error, untouched)

    def _flush(self) -> None:
        done, self._done = self._done, {}
        for run, results in done.items():
            self._events.done(run, results)
