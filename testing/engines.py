"""Replicas that die, on a simulated clock: what `Dispatch` decides is carried out, and checked at every step."""

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Collection

from rhapsody_parsl.hosts.ending import Cause
from rhapsody_parsl.runtimes.vllm.dispatch import Dispatch

__all__ = ("Engines",)


class Engines:
    """A service's replicas.

    Args:
        replicas: How many.
        poison: Requests that kill whatever engine they are put to.
        start: Seconds that an engine takes to start.
        answer: Seconds that an answer takes, at the least and at the most.
        fatal: Seconds after which poison kills.
        limit: Requests a replica is given at once.
        seed: For the answers' durations, and for whom a kill hits.

    Attributes:
        answered: Requests that were, with the time.
        culprits: Requests that were found to kill engines, with the number of engines.
        deaths: How many engines died.
        asks: How often each request was put to an engine.
    """

    def __init__(  # noqa: PLR0913 - what an experiment varies
        self,
        replicas: int = 1,
        poison: Collection[int] = (),
        *,
        start: float = 2.0,
        answer: tuple[float, float] = (0.5, 1.0),
        fatal: float = 0.3,
        limit: int = 256,
        seed: int = 0,
    ) -> None:
        self.dispatch = Dispatch(limit, window=600.0)
        self._poison, self._start, self._answer = frozenset(poison), start, answer
        self._fatal = fatal
        self._random = random.Random(seed)  # noqa: S311 - an experiment
        self._events: list[tuple[float, int, str, tuple[str, int] | None, int]] = []
        self._order = itertools.count()
        self._lives = {f"r{index}": 0 for index in range(replicas)}
        self._held: dict[str, set[int]] = {name: set() for name in self._lives}
        self._asked_before: set[int] = set()
        self._kills_after_answer = 0
        self._doomed: set[tuple[str, int]] = set()
        self.now = 0.0
        self.answered: dict[int, float] = {}
        self.culprits: dict[int, int] = {}
        self.deaths = 0
        self.asks: Counter[int] = Counter()
        for name in self._lives:
            self._restart(name)

    def submit_at(self, seconds: float, task: int) -> None:
        """A request comes."""
        self._later(seconds, "submit", task=task)

    def kill_at(self, seconds: float) -> None:
        """Somebody kills one of the engines that are there."""
        self._later(seconds, "kill")

    def kill_after_first_answers(self, times: int) -> None:
        """Kill each of the next engines soon after its first answer."""
        self._kills_after_answer = times

    def run(self) -> None:
        """Go on until nothing happens any more."""
        while self._events:
            self.now, _, what, life, task = heapq.heappop(self._events)
            if life is None or self._lives[life[0]] == life[1]:
                self._happen(what, life[0] if life else "", task)
                self._ask()

    def _later(self, seconds: float, what: str, life: tuple[str, int] | None = None, task: int = -1) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._order), what, life, task))

    def _happen(self, what: str, name: str, task: int) -> None:
        match what:
            case "submit":
                self.dispatch.put([task])
            case "ready":
                self.dispatch.set_state(name, "ready")
                self._held[name] = set()
            case "answer":
                self.dispatch.answered(name, task)
                self._held[name].discard(task)
                self.answered[task] = self.now
                self._doom((name, self._lives[name]))
            case "poison":
                self._die(name, "own")
            case "doom":
                self._die(name, "killed")
            case _:
                there = [name for name, held in self._held.items() if held]
                if there:
                    self._die(self._random.choice(there), "killed")

    def _doom(self, life: tuple[str, int]) -> None:
        if self._kills_after_answer and life not in self._doomed:
            self._kills_after_answer -= 1
            self._doomed.add(life)
            self._later(self._random.uniform(0.05, 0.4), "doom", life)

    def _die(self, name: str, cause: Cause) -> None:
        self.deaths += 1
        self._asked_before |= self._held[name]
        self._held[name] = set()
        self.dispatch.died(name, self.now, cause)
        self.culprits |= {task: len(deaths) for task, deaths in self.dispatch.verdicts(self.now)}
        self._restart(name)

    def _restart(self, name: str) -> None:
        self._lives[name] += 1
        self.dispatch.set_state(name, "coming")
        self._later(self._start, "ready", (name, self._lives[name]))

    def _ask(self) -> None:
        for assignment in self.dispatch.assign(self.now):
            name, held = assignment.replica, self._held[assignment.replica]
            held.update(assignment.tasks)
            kinds = {task in self._asked_before for task in held}
            assert kinds == {assignment.apart}, "a request that an engine died under stands beside one that none did"
            for task in assignment.tasks:
                self.asks[task] += 1
                kills = task in self._poison
                seconds = self._fatal if kills else self._random.uniform(*self._answer)
                self._later(seconds, "poison" if kills else "answer", (name, self._lives[name]), task)
