"""How many tasks and requests have ended, and how: by runtime and by service."""

from collections import Counter
from collections.abc import Callable

import msgspec

from rhapsody_parsl.wire.door import DoorRequest
from rhapsody_parsl.wire.states import Outcome

__all__ = ("NO_MODEL", "OTHER_APPS", "DoorTotals", "ExecutorTotals", "Tally", "Totals")

OTHER_APPS = "(other apps)"
NO_MODEL = "(no model)"
"""Of requests that were refused before it was known whom they ask, or that ask for what nobody serves."""
_MOST_APPS = 4_000
"""Names of apps, times outcomes, that are counted one by one: a campaign may make up a new name for each task."""


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """How many tasks have ended, by their outcome; each task counts once.

    Attributes:
        done: Returned or raised.
        failed: Failed with an error of this package that is no loss.
        lost: Were lost with what ran them, and did not run again.
        cancelled: Were cancelled.
    """

    done: int = 0
    failed: int = 0
    lost: int = 0
    cancelled: int = 0


class DoorTotals(msgspec.Struct, frozen=True, kw_only=True):
    """How many requests at the front door have ended, by `wire.states.RequestEnd`, and what they took in all.

    Attributes:
        done: Were answered.
        failed: Got an error of the engine, or the engine died.
        refused: Were refused by the door.
        late: Were given up, for their answer did not begin in time.
        left: Lost their client.
        lost: Were lost with the door's process or the block.
        prompt: Tokens of their prompts, as far as engines tell.
        tokens: Tokens of their answers.
        waiting_seconds: Seconds that those waited that a replica had.
        first_seconds: Seconds from when they came to their first token, of those whose answer was a stream.
        streams: How many these are.
        answer_seconds: Seconds from when they came to their end, of those that were answered.
    """

    done: int = 0
    failed: int = 0
    refused: int = 0
    late: int = 0
    left: int = 0
    lost: int = 0
    prompt: int = 0
    tokens: int = 0
    waiting_seconds: float = 0.0
    first_seconds: float = 0.0
    streams: int = 0
    answer_seconds: float = 0.0


class ExecutorTotals(msgspec.Struct, frozen=True):
    """All that have ended since the executor's start, in blocks that are there and in blocks that are gone.

    Attributes:
        tasks: All of them.
        runtimes: Of each runtime, by name; one that no task has ended in is left out.
        services: The requests of apps to each service, by name.
        door: The requests to each service at the front door, by name; nothing with `record=False`.
    """

    tasks: Totals = Totals()
    runtimes: dict[str, Totals] = {}
    services: dict[str, Totals] = {}
    door: dict[str, DoorTotals] = {}


_Key = tuple[str, str, Outcome]


class Tally:
    """Counts tasks and requests that end; other threads may read it.

    Args:
        default_runtime: Of tasks that name none.
    """

    def __init__(self, default_runtime: str = "") -> None:
        self._default = default_runtime
        self._counts: Counter[_Key] = Counter()
        self._apps: Counter[tuple[str, Outcome]] = Counter()
        self._door: dict[str, DoorTotals] = {}

    def note(self, outcome: Outcome, runtime: str = "", service: str = "", *, app: str = "") -> None:
        """Count a task.

        Args:
            outcome: What became of it.
            runtime: Whose it was; "" for the default.
            service: Which service it asked, if any.
            app: Which app it was of, where that is counted.
        """
        self._counts[runtime or self._default, service, outcome] += 1
        if app:
            key = app, outcome
            self._apps[key if key in self._apps or len(self._apps) < _MOST_APPS else (OTHER_APPS, outcome)] += 1

    def by_app(self) -> dict[str, Totals]:
        """Return the sums by app; of those beyond the first thousands, as one."""
        sums: dict[str, Counter[str]] = {}
        for (app, outcome), count in list(self._apps.items()):
            sums.setdefault(app, Counter())[outcome] += count
        return {app: Totals(**each) for app, each in sums.items()}

    def note_request(self, request: DoorRequest) -> None:
        """Count a request that has ended at the front door."""
        name = request.service or NO_MODEL
        before, of, done = self._door.get(name, DoorTotals()), request.times, request.end == "done"
        sums: dict[str, float] = {request.end: 1, "answer_seconds": request.seconds if done else 0.0}
        if of:
            sums |= {"prompt": of.prompt, "tokens": of.tokens, "waiting_seconds": request.waited}
            sums |= {"streams": 1, "first_seconds": request.waited + of.first} if of.first else {}
        changed = {name: getattr(before, name) + more for name, more in sums.items()}
        self._door[name] = msgspec.structs.replace(before, **changed)

    def by_door(self) -> dict[str, DoorTotals]:
        """Return the sums of requests at the front door by service."""
        return dict(self._door)

    def total(self) -> Totals:
        """Return the sum."""
        return self._by(lambda key: "all").get("all", Totals())

    def by_runtime(self) -> dict[str, Totals]:
        """Return the sums by runtime, of tasks that had one."""
        return self._by(lambda key: key[0])

    def by_service(self) -> dict[str, Totals]:
        """Return the sums of requests by service."""
        return self._by(lambda key: key[1])

    def _by(self, part: Callable[[_Key], str]) -> dict[str, Totals]:
        sums: dict[str, Counter[str]] = {}
        for key, count in list(self._counts.items()):
            if name := part(key):
                sums.setdefault(name, Counter())[key[2]] += count
        return {name: Totals(**each) for name, each in sums.items()}
