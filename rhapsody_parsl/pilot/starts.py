"""Failed starts of a runtime's processes: when the next is due, and whether there is hope. Pure.

A task's process, be it a worker, a rank or a whole runtime, may not come up: there is no process more for this user, no
room in memory or on a disk, or the environment is broken. It is started again after a pause that grows, for some of
this passes. A task has three starts (`outcomes`). When three rounds of starts have failed, one after the other, and
nothing of the runtime is at work, all that waits for it fails too, instead of each task finding out for itself.
"""

import math
from collections.abc import Iterable

__all__ = ("Starts",)

_MOST_ROUNDS = 3
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 5.0


class _Row:
    """The rounds of one runtime that failed one after the other.

    Attributes:
        rounds: How many; what began before the last failure was known is of its round.
        since: Time of the first failure.
        last: Time of the last failure that counted.
        due: Time of the next try.
    """

    __slots__ = ("due", "last", "rounds", "since")

    def __init__(self) -> None:
        self.rounds = 0
        self.since = self.due = self.last = -math.inf


class Starts:
    """The rows of failures, by runtime; a row ends with the first task that one of the runtime's processes ends."""

    def __init__(self) -> None:
        self._rows: dict[str, _Row] = {}

    def failed(self, runtime: str, began: float, now: float, slowly: bool = False) -> None:
        """A start failed.

        Args:
            runtime: Its name.
            began: When its process was asked for.
            now: Time.
            slowly: Whether it took all the time that it has; it counts for all rounds.
        """
        row = self._rows.setdefault(runtime, _Row())
        if began < row.last:
            return
        if not row.rounds:
            row.since = now
        row.rounds = _MOST_ROUNDS if slowly else row.rounds + 1
        row.last, row.due = now, now + min(_FIRST_PAUSE * 2 ** (row.rounds - 1), _LONGEST_PAUSE)

    def succeeded(self, runtime: str) -> None:
        """A task ended."""
        if self._rows:
            self._rows.pop(runtime, None)

    def give_up(self, runtime: str) -> None:
        """Nobody waits any more; whoever comes has all rounds again."""
        row = self._rows[runtime]
        row.rounds, row.due = 0, row.last

    def may(self, runtime: str, now: float) -> bool:
        """Whether a process may be started now."""
        return runtime not in self._rows or now >= self._rows[runtime].due

    def is_hopeless(self, runtime: str, at_work_since: Iterable[float]) -> bool:
        """Whether to give up.

        Args:
            runtime: Its name.
            at_work_since: When each of its runs was given its tasks; one from before the first failure is at work.
        """
        row = self._rows[runtime]
        return row.rounds >= _MOST_ROUNDS and all(at >= row.since for at in at_work_since)

    def next_due(self, now: float) -> list[float]:
        """Return in how many seconds each pause is over."""
        return [row.due - now for row in self._rows.values() if row.due > now] if self._rows else []
