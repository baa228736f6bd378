"""Which request kills engines: no I/O; tasks are numbers, times those of any one clock.

When an engine dies, each request that it held may have killed it. So these are asked again in smaller and smaller
groups, each with an engine to itself, until the culprit is alone. One death proves nothing, for engines die of other
causes too: a culprit is who was alone with several. The more deaths had other causes, the more of them it takes.
"""

from collections import deque
from collections.abc import Iterable, Sequence

__all__ = ("Death", "Suspects")

_FIRST_PARTS = 2
"""Most deaths are no request's doing, and a group costs the time of an answer: so two groups after the first death."""
_PARTS = 16
"""After a second death few groups would cost more engines, and a start takes longer than an answer."""
_DEATHS, _ALONE = 3, 2
"""What convicts, at the least: deaths in all, and those alone."""
_KILLED = 0.5
"""What a death weighs that a signal brought which somebody or the system sends (SIGKILL, SIGTERM)."""
_MOST_DEATHS = 10
"""What convicts whatever else killed engines meanwhile: no request is asked for ever."""
_MOST_CULPRITS = 16
"""Culprits in a row, without an answer between: from then on it is the engine that is at fault."""


class Death:
    """An engine's end.

    Args:
        at: When.
        suspects: The requests that it held.

    Attributes:
        suspects: Those of which nothing is known yet.
        culprit: The request that has been found to kill engines, or None.
        toll: How many engines the culprit has killed.
        explained: Whether the culprit is the cause, and not the engine.
    """

    __slots__ = ("at", "culprit", "explained", "suspects", "toll")

    def __init__(self, at: float, suspects: Iterable[int] = ()) -> None:
        self.at, self.suspects = at, set(suspects)
        self.culprit: int | None = None
        self.toll = 0
        self.explained = False

    @property
    def unexplained(self) -> bool:
        """Whether it had another cause than a request: all that the engine held were answered since."""
        return not self.suspects and not self.explained


class Suspects:
    """The requests that engines died under, in groups that are to be asked together and beside nothing else.

    Args:
        window: Seconds for which a death is remembered.
    """

    def __init__(self, window: float) -> None:
        self._window = window
        self._groups: deque[list[int]] = deque()
        self._second: deque[list[int]] = deque()
        self._deaths: dict[int, list[Death]] = {}
        self._alone: dict[int, float] = {}
        self._recent: deque[Death] = deque()
        self._row = 0

    def __bool__(self) -> bool:
        """Whether a group waits to be asked."""
        return bool(self._groups or self._second)

    @property
    def wants_fresh(self) -> bool:
        """Whether one waits that was alone with a death already.

        An engine that dies at a certain age would die under it again and again. So it is asked first of all.
        """
        return bool(self._second)

    @property
    def wants_any(self) -> bool:
        """Whether a group waits that any engine may be asked."""
        return bool(self._groups)

    def waiting(self) -> list[int]:
        """Return the requests of all groups that wait."""
        return [task for group in (*self._groups, *self._second) for task in group]

    def take(self, fresh: bool = False) -> list[int]:
        """Return the group to be asked next; `fresh` when it is to be one that wants a fresh engine."""
        return self._second.popleft() if fresh or not self._groups else self._groups.popleft()

    def put_back(self, group: list[int]) -> None:
        """A group was not to blame for what ended its engine: it is the next again."""
        (self._second if group[0] in self._alone else self._groups).appendleft(group)

    def died(self, tasks: Sequence[int], now: float, killed: bool = False) -> Death:
        """An engine died with these requests in flight: a culprit is found, or they are to be asked in new groups.

        Args:
            tasks: What it held.
            now: The time.
            killed: Whether a signal ended it that somebody or the system sends.
        """
        death = Death(now, tasks)
        self._recent.append(death)
        first = not any(task in self._deaths for task in tasks)
        for task in tasks:
            self._deaths.setdefault(task, []).append(death)
        if len(tasks) == 1:
            self._alone[tasks[0]] = self._alone.get(tasks[0], 0.0) + (_KILLED if killed else 1)
            if self._proven(tasks[0], now):
                self._convict(tasks[0], death)
                return death
            self._second.append(list(tasks))
            return death
        self._groups.extend(parts(tasks, _FIRST_PARTS if first else _PARTS))  # last: who was not asked yet comes first
        return death

    def answered(self, task: int) -> None:
        """A request was answered: it is none that kills."""
        self._row = 0
        self.leave(task)

    def leave(self, task: int) -> None:
        """A request is over."""
        if task not in self._deaths:
            return
        self._alone.pop(task, None)
        for death in self._deaths.pop(task):
            death.suspects.discard(task)
        self._groups, self._second = _without(task, self._groups), _without(task, self._second)

    def unexplained(self, now: float) -> int:
        """Return how many deaths of late had other causes than a request."""
        while self._recent and self._recent[0].at <= now - self._window:
            self._recent.popleft()
        return sum(death.unexplained for death in self._recent)

    def _proven(self, task: int, now: float) -> bool:
        deaths = len(self._deaths[task])
        needed = _ALONE + self.unexplained(now)
        return deaths >= _MOST_DEATHS or (deaths >= _DEATHS and self._alone[task] >= needed)

    def _convict(self, task: int, death: Death) -> None:
        self._row += 1
        deaths = self._deaths[task]
        death.culprit, death.toll = task, len(deaths)
        for one in deaths:
            one.explained = self._row <= _MOST_CULPRITS
        self.leave(task)


def _without(task: int, groups: deque[list[int]]) -> deque[list[int]]:
    if not any(task in group for group in groups):
        return groups
    rest = ([one for one in group if one != task] for group in groups)
    return deque(group for group in rest if group)


def parts(tasks: Sequence[int], most: int) -> list[list[int]]:
    """Divide requests, in order, into at most so many groups that are as equal as can be."""
    size = -(-len(tasks) // most)
    return [list(tasks[start : start + size]) for start in range(0, len(tasks), size)] if tasks else []
