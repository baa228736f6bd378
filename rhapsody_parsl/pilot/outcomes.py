"""What became of tasks: results for the driver, their counts, and whether one runs again that was lost."""

from collections import Counter
from collections.abc import Collection

import msgspec

from rhapsody_parsl.annotations.policy import MOST_RERUNS
from rhapsody_parsl.errors import BackendFailed, MemoryExceeded, RhapsodyError, WalltimeExceeded
from rhapsody_parsl.pilot.lane import ActiveRun
from rhapsody_parsl.wire.failures import to_wire
from rhapsody_parsl.wire.messages import FAILED, Result

__all__ = ("Outcomes",)

_MOST_STARTS = 3
"""Of the process for a task; then what hinders it is not soon over."""


class Outcomes:
    """What became of a block's tasks.

    Attributes:
        counts: Tasks done and failed.
        by_runtime: Tasks of which the runtime told the result.
    """

    def __init__(self) -> None:
        self.counts = {"done": 0, "failed": 0}
        self.by_runtime: Counter[str] = Counter()
        self._results: list[Result] = []
        self._reruns: dict[int, int] = {}
        self._starts: dict[int, int] = {}

    @property
    def has_results(self) -> bool:
        """Whether there are some to take."""
        return bool(self._results)

    def take(self) -> list[Result]:
        """Return the results since the last call."""
        results, self._results = self._results, []
        return results

    def ended(self, active: ActiveRun, result: Result) -> bool:
        """A task of a run ended; False when nobody wants its result."""
        self.forget(result.id)
        why = active.ended_by.pop(result.id, "")
        if why == "cancelled":
            return False
        if isinstance(why, WalltimeExceeded) and result.kind == FAILED:
            self.failed(result.id, why)
        else:
            self._results.append(result)
            self.counts["failed" if result.kind == FAILED else "done"] += 1
            self.by_runtime[active.lane.runtime] += 1
        return True

    def failed(self, task: int, error: RhapsodyError) -> None:
        """A task failed outside a runtime."""
        self.forget(task)
        self.counts["failed"] += 1
        self._results.append(Result(task, FAILED, msgspec.msgpack.encode(to_wire(error))))

    def survives(self, active: ActiveRun, task: int, error: RhapsodyError, untouched: Collection[int]) -> bool:
        """A task of a run was lost: whether it is to go on elsewhere. If not, this was its end.

        Args:
            active: The run.
            task: The task's number.
            error: What befell the run.
            untouched: Tasks of it that had not begun.
        """
        why = active.ended_by.get(task, "")
        if why == "cancelled":
            self.forget(task)
            return False
        if isinstance(why, WalltimeExceeded):
            error = why
        elif (task in untouched and self._may_start_again(task, error)) or self._may_rerun(active, task, error):
            return True
        self.failed(task, error)
        return False

    def _may_start_again(self, task: int, error: RhapsodyError) -> bool:
        """Whether a task that had not begun is to wait again: always, but for its own process that did not start."""
        if isinstance(error, BackendFailed):
            self._starts[task] = self._starts.get(task, 0) + 1
        return self._starts.get(task, 0) < _MOST_STARTS

    def _may_rerun(self, active: ActiveRun, task: int, error: RhapsodyError) -> bool:
        reruns = self._reruns.get(task, 0)
        if isinstance(error, MemoryExceeded) or active.lane.spec.policy.on_loss != "rerun" or reruns >= MOST_RERUNS:
            return False
        self._reruns[task] = reruns + 1
        return True

    def forget(self, task: int) -> None:
        """A task leaves the block with no outcome."""
        if self._reruns or self._starts:
            self._reruns.pop(task, None)
            self._starts.pop(task, None)
