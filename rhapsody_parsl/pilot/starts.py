"""Starts of runtimes and of their processes: which are ready, when the next is due, whether there is hope. Pure.

A task's process, be it a worker, a rank or a whole runtime, may not come up: there is no process more for this user, no
room in memory or on a disk, or the environment is broken. It is started again after a pause that grows, for some of
this passes. A task has three starts (`outcomes`). When three rounds of starts have failed, one after the other, and
nothing of the runtime is at work, all that waits for it fails too, instead of each task finding out for itself.
"""

import math
from collections.abc import Collection, Iterable

from rhapsody_parsl.pilot.launches import Launches

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
    """What runtimes are ready, and the rows of failures; a row ends with the first task that a process of theirs ends.

    Attributes:
        ready: Names of the runtimes that can take tasks, and of the gates that are open.
        launches: The block's: they have the gates.
    """

    def __init__(self) -> None:
        self.ready: set[str] = set()
        self._starting: set[str] = set()
        self._rows: dict[str, _Row] = {}
        self.launches = Launches()

    def want(self, runtime: str) -> bool:
        """Somebody waits for a runtime; return whether it is to be started."""
        if runtime in self.ready or runtime in self._starting:
            return False
        self._starting.add(runtime)
        return True

    def ended(self, runtime: str, ready: bool) -> None:
        """A runtime's own start is over: it is ready, or the next who waits has it started again."""
        self._starting.discard(runtime)
        (self.ready.add if ready else self.ready.discard)(runtime)
        self.launches.review()

    def startable(self, now: float) -> Collection[str]:
        """Return the runtimes whose processes may be started now."""
        return [name for name in self.ready if self.may(name, now)] if self._rows else self.ready

    def failed(self, runtime: str, began: float, now: float, slowly: bool = False) -> None:
        """The start of a process failed.

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

    def may(self, runtime: str, now: float) -> bool:
        """Whether a process may be started now."""
        row = self._rows.get(self.launches.runtime_of(runtime))
        return row is None or now >= row.due

    def gives_up(self, runtime: str, at_work_since: Iterable[float]) -> bool:
        """Whether nobody is to wait any more; whoever comes then has all rounds again.

        Args:
            runtime: Its name.
            at_work_since: When each of its runs was given its tasks; one from before the first failure is at work.
        """
        row = self._rows[runtime]
        if row.rounds < _MOST_ROUNDS or any(at < row.since for at in at_work_since):
            return False
        row.rounds, row.due = 0, row.last
        return True

    def next_due(self, now: float) -> list[float]:
        """Return in how many seconds each pause is over."""
        return [row.due - now for row in self._rows.values() if row.due > now] if self._rows else []
