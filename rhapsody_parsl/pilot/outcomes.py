"""What became of tasks: results for the driver, their counts, and whether one runs again that was lost."""

from collections.abc import Collection

import msgspec

from rhapsody_parsl.annotations.reruns import Reruns
from rhapsody_parsl.errors import BackendFailed, MemoryExceeded, RhapsodyError
from rhapsody_parsl.pilot.family import Family
from rhapsody_parsl.pilot.instructions import DiscardResults
from rhapsody_parsl.pilot.lane import ActiveRun, Lane
from rhapsody_parsl.pilot.times import Times
from rhapsody_parsl.wire.messages import FAILED, LOST, Result, failed
from rhapsody_parsl.wire.totals import Tally

__all__ = ("Outcomes",)

_MOST_STARTS = 3
"""Of the process for a task; then what hinders it is not soon over."""


class Outcomes:
    """What became of a block's tasks.

    Args:
        times: When what befell them.
        family: Told of each task that ends, or starts anew.

    Attributes:
        tally: Counts those that have ended.
    """

    def __init__(self, times: Times, family: Family) -> None:
        self._family = family
        self.tally = Tally()
        self._times = times
        self._results: list[Result] = []
        self._reruns = Reruns()
        self._starts: dict[int, int] = {}

    @property
    def has_results(self) -> bool:
        """Whether there are some to take."""
        return bool(self._results)

    def take(self) -> list[Result]:
        """Return the results since the last call."""
        results, self._results = self._results, []
        return results

    def goes_on(self, active: ActiveRun, result: Result) -> bool:
        """Whether a task runs again of which its own fresh process died, while its run stays."""
        task = result.id
        if result.kind != LOST or active.why(task) or not self._reruns.allow(task, active.lane.spec.policy):
            return False
        self._note_death(active, task)
        self._family.over(task)
        self._times.again(task)
        return True

    def ended(self, active: ActiveRun, result: Result) -> bool:
        """A task of a run ended; False when nobody wants its result."""
        if result.kind == LOST:
            self._note_death(active, result.id)
            result = msgspec.structs.replace(result, kind=FAILED)
        why = active.take_why(result.id)
        if why == "cancelled":
            self.cancelled(result.id, active.lane)
            self._family.unread_values(result)
            return False
        if why is not None and result.kind == FAILED:
            result = failed(result.id, why)
        self._add(result, active.lane)
        return True

    def discarded(self, active: ActiveRun) -> DiscardResults:
        """Return what is to be removed of a run that is lost."""
        tasks = active.numbers()
        return DiscardResults(tasks, [task for task in tasks if self._may_leave(active, task)])

    def _may_leave(self, active: ActiveRun, task: int) -> bool:
        """Whether the process of a task may have been writing a value that the driver does not know."""
        leaves = task in self._family and active.lane.spec.policy.result == "reference"
        return leaves or self._family.holdings.holds(task)

    def _note_death(self, active: ActiveRun, task: int) -> None:
        """A task's own process has died, and its worker has not."""
        if self._may_leave(active, task):
            self._family.died.append(task)

    def failed(self, task: int, error: RhapsodyError, lane: Lane | None) -> None:
        """A task failed outside a runtime; it has no lane when it was refused."""
        self._add(failed(task, error), lane)

    def cancelled(self, task: int, lane: Lane) -> None:
        """A task has ended because it was cancelled; nobody is told."""
        self.forget(task)
        self.tally.note("cancelled", lane.runtime, lane.spec.service)

    def _add(self, result: Result, lane: Lane | None) -> None:
        self._times.ended(result.id)
        if result.gives:
            self._family.given(result)
        self._over(result.id)
        self._results.append(result)
        if lane is None:
            self.tally.note(result.outcome)
        else:
            self.tally.note(result.outcome, lane.runtime, lane.spec.service)

    def survives(self, active: ActiveRun, task: int, error: RhapsodyError, untouched: Collection[int]) -> bool:
        """A task of a run was lost: whether it is to go on elsewhere. If not, this was its end.

        Args:
            active: The run.
            task: The task's number.
            error: What befell the run.
            untouched: Tasks of it that had not begun.
        """
        if task in self._family.proven:
            self._reruns.forget(task)
        self._family.over(task)
        why = active.why(task)
        if why == "cancelled":
            self.cancelled(task, active.lane)
            return False
        if why is not None:
            error = why
        elif task in untouched and self._may_start_again(task, error):
            return True
        elif self._may_rerun(active, task, error):
            self._times.again(task)
            return True
        self.failed(task, error, active.lane)
        return False

    def _may_start_again(self, task: int, error: RhapsodyError) -> bool:
        """Whether a task that had not begun is to wait again: always, but for its own process that did not start."""
        if isinstance(error, BackendFailed):
            self._starts[task] = self._starts.get(task, 0) + 1
        return self._starts.get(task, 0) < _MOST_STARTS

    def _may_rerun(self, active: ActiveRun, task: int, error: RhapsodyError) -> bool:
        return not isinstance(error, MemoryExceeded) and self._reruns.allow(task, active.lane.spec.policy)

    def forget(self, task: int) -> None:
        """A task leaves the block with no outcome."""
        self._times.forget(task)
        self._over(task)

    def _over(self, task: int) -> None:
        """A task is not here any more."""
        self._reruns.forget(task)
        if self._family.needs_word:
            self._family.over(task)
        if self._starts:
            self._starts.pop(task, None)
