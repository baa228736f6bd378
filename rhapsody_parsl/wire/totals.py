"""How many tasks have ended, and how: by runtime and by service."""

from collections import Counter
from collections.abc import Callable

import msgspec

from rhapsody_parsl.wire.states import Outcome

__all__ = ("OTHER_APPS", "ExecutorTotals", "Tally", "Totals")

OTHER_APPS = "(other apps)"
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


class ExecutorTotals(msgspec.Struct, frozen=True):
    """All that have ended since the executor's start, in blocks that are there and in blocks that are gone.

    Attributes:
        tasks: All of them.
        runtimes: Of each runtime, by name; one that no task has ended in is left out.
        services: The requests of each service, by name.
    """

    tasks: Totals = Totals()
    runtimes: dict[str, Totals] = {}
    services: dict[str, Totals] = {}


_Key = tuple[str, str, Outcome]


class Tally:
    """Counts tasks that end; other threads may read it.

    Args:
        default_runtime: Of tasks that name none.
    """

    def __init__(self, default_runtime: str = "") -> None:
        self._default = default_runtime
        self._counts: Counter[_Key] = Counter()
        self._apps: Counter[tuple[str, Outcome]] = Counter()

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
