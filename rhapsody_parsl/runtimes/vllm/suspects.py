"""Which request kills engines: no I/O; tasks are numbers, times those of any one clock.

When an engine dies, each request that it held may have killed it. So these are asked again in smaller and smaller
groups, each with an engine to itself, until the culprit is alone. One death proves nothing, for engines die of other
causes too: a culprit is who was alone with several. Where engines die without it too, it takes more of them: more than
as many seconds of work cost by chance.
"""

from collections import deque
from collections.abc import Collection, Iterable, Sequence

from rhapsody_parsl.runtimes.vllm.deaths import OTHERS, Chance, Death, Deaths
from rhapsody_parsl.services.front import Front

__all__ = ("Suspects",)

_FIRST_PARTS = 2
"""Most deaths are no request's doing, and a group costs the time of an answer: so two groups after the first death."""
_PARTS = 16
"""After a second death few groups would cost more engines, and a start takes longer than an answer."""
_DEATHS, _ALONE = 3, 2
"""What convicts, at the least: deaths in all, and those alone."""
_KILLED = 0.5
"""What a death weighs that a signal brought which somebody or the system sends (SIGKILL, SIGTERM)."""
_MARGIN = 4.0
"""How many deaths more it takes for each that chance explains."""
_ACCUSES = 2
"""Deaths alone from which on a request explains, for others, the deaths that it was at."""
_MOST_DEATHS = 20
"""What convicts whatever else killed engines meanwhile: no request is asked for ever."""
_MOST_CULPRITS = 16
"""Requests in a row that may explain deaths, without an answer between: then it is the engine that is at fault."""


class Suspects:
    """The requests that engines died under, in groups that are to be asked together and beside nothing else.

    Args:
        window: Seconds for which a death is remembered.
    """

    def __init__(self, window: float) -> None:
        self._all = Deaths(window)
        self._groups: deque[list[int]] = deque()
        self._second: deque[list[int]] = deque()
        self._deaths: dict[int, list[Death]] = {}
        self._alone: dict[int, int] = {}
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

    def worked(self, seconds: float, now: float) -> None:
        """An engine held requests for so long, and did not die of them."""
        self._all.worked(seconds, now)

    def died(self, tasks: Sequence[int], now: float, seconds: float = 0.0, killed: bool = False) -> Death:
        """An engine died with these requests in flight: they are to be asked in new groups.

        Args:
            tasks: What it held.
            now: The time.
            seconds: How long it had held them.
            killed: Whether a signal ended it that somebody or the system sends.
        """
        death = Death(now, tasks, seconds, _KILLED if killed else 1.0)
        self._all.died(death)
        first = not any(task in self._deaths for task in tasks)
        for task in tasks:
            self._deaths.setdefault(task, []).append(death)
        if len(tasks) == 1:
            self._died_alone(tasks[0])
        else:  # last: who was not asked yet comes first
            self._groups.extend(parts(tasks, _FIRST_PARTS if first else _PARTS))
        return death

    def _died_alone(self, task: int) -> None:
        """Have it asked again: by a fresh engine the first time, after all others the next, and so on."""
        self._alone[task] = self._alone.get(task, 0) + 1
        (self._second if self._alone[task] % 2 else self._groups).append([task])

    def verdicts(self, now: float, asked: Collection[int] = ()) -> list[tuple[int, list[Death]]]:
        """Return the requests that are by now found to kill engines, with the deaths of each; they are over.

        What is learnt of one may be what was missing for another.

        Args:
            now: The time.
            asked: Requests that are being asked, so that more will be known of them.
        """
        out: list[tuple[int, list[Death]]] = []
        while proven := self._proven(now, asked):
            out += [(task, self._deaths[task]) for task in proven]
            for task in proven:
                self._convict(task)
        return out

    def answered(self, task: int) -> None:
        """A request was answered: it is none that kills."""
        self._row = 0
        self.forget(task)

    def leave(self, task: int) -> None:
        """A request is not wanted any more: it may have been the cause, and nobody will ever know."""
        if task in self._deaths:
            self._excuse(self._deaths[task])
            self.forget(task)

    def told(self, front: Front, now: float, answered: bool = False) -> None:
        """The front door has said what became of its requests: they are suspects, as ours are.

        Args:
            front: It.
            now: The time.
            answered: Whether some were answered since.
        """
        if answered:
            self._row = 0
        found: dict[int, list[Death]] = {}
        for death in self._all.recent(now):
            culprit = front.deaths.get(death.replica)
            if culprit == 0:
                death.suspects.add(OTHERS)
            elif culprit or not front.held(death.replica):
                death.suspects.discard(OTHERS)
            if culprit and culprit != death.culprit:
                found.setdefault(culprit, []).append(death)
                death.culprit = culprit
        for deaths in found.values():
            self._excuse(deaths)

    def forget(self, task: int) -> None:
        """A request is over."""
        if task not in self._deaths:
            return
        self._alone.pop(task, None)
        for death in self._deaths.pop(task):
            death.suspects.discard(task)
        self._groups, self._second = _without(task, self._groups), _without(task, self._second)

    def _proven(self, now: float, asked: Collection[int]) -> list[int]:
        accused = {task for task, times in self._alone.items() if times >= _ACCUSES}
        chance = self._all.chance(now, accused) if accused else None
        ready = sorted(accused.difference(asked))
        return [task for task in ready if chance and _exceeds(chance, self._deaths[task])]

    def _convict(self, task: int) -> None:
        for death in self._deaths[task]:
            death.solved = True
        self._excuse(self._deaths[task])
        self.forget(task)

    def _excuse(self, deaths: Iterable[Death]) -> None:
        """The deaths that a request was at do not count against the engine, unless there were too many in a row."""
        self._row += 1
        for death in deaths:
            death.excused = self._row <= _MOST_CULPRITS


def _exceeds(chance: Chance, deaths: Collection[Death]) -> bool:
    """Whether more engines died under a request, and with nothing else in flight, than chance explains."""
    alone = [death for death in deaths if death.alone]
    expected = chance.expected(sum(death.seconds for death in alone), deaths)
    needed = _ALONE + (expected > 0) + _MARGIN * expected
    proof = sum(death.weight for death in alone) >= needed
    return len(deaths) >= _MOST_DEATHS or (len(deaths) >= _DEATHS and proof)


def _without(task: int, groups: deque[list[int]]) -> deque[list[int]]:
    if not any(task in group for group in groups):
        return groups
    rest = ([one for one in group if one != task] for group in groups)
    return deque(group for group in rest if group)


def parts(tasks: Sequence[int], most: int) -> list[list[int]]:
    """Divide requests, in order, into at most so many groups that are as equal as can be."""
    size = -(-len(tasks) // most)
    return [list(tasks[start : start + size]) for start in range(0, len(tasks), size)] if tasks else []
