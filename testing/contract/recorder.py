"""Hears all that a runtime tells the pilot, and complains at once of what the protocol forbids."""

import contextlib
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from rhapsody_parsl.errors import MemoryExceeded, RhapsodyError
from rhapsody_parsl.runtimes.protocol import Run
from rhapsody_parsl.wire.messages import Result
from rhapsody_parsl.wire.piece_messages import More, Piece
from rhapsody_parsl.wire.reports import ServiceReport
from rhapsody_parsl.wire.states import RuntimeState

__all__ = ("AtWork", "BrokenPromiseError", "Recorder", "Told")

How = Literal["done", "returned", "lost", "untouched"]

_NEXT: dict[RuntimeState, set[RuntimeState]] = {
    "off": {"starting"},
    "starting": {"starting", "ready", "failed", "lost"},
    "ready": {"ready", "lost"},
    "lost": {"lost", "starting", "ready", "failed"},
    "failed": {"starting"},
}
"""Which state of a runtime follows which."""


class BrokenPromiseError(AssertionError):
    """A runtime told what it must not tell."""


class Told(NamedTuple):
    """What became of a task: a result when it is `done`, an error when its run is lost."""

    how: How
    what: Result | RhapsodyError | None = None


class AtWork(NamedTuple):
    """Processes that work for a run on a host."""

    host: str
    pids: dict[str, int]
    on_exceeded: Callable[[MemoryExceeded], None] | None


class Recorder:
    """The pilot's side of `Events`, which writes everything down.

    A complaint is kept with the stack it came from, and raised by the next `check`: raised on the spot, it would be
    an error inside the runtime, which might hide it.

    Attributes:
        calls: The name of each call, with its run or its state, in order.
        told: What became of each task, in the order told.
        states: Each state of the runtime, with its detail, in order.
        reports: What was told of services, in order.
        pieces_of: The pieces of each task.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.told: dict[int, Told] = {}
        self.states: list[tuple[RuntimeState, str]] = []
        self.reports: list[list[ServiceReport]] = []
        self.pieces_of: dict[int, list[Piece]] = {}
        self._open: dict[int, set[int]] = {}
        self._at_work: dict[int, list[AtWork]] = {}
        self._within = ""
        self._stopped = False
        self._complaints: list[str] = []

    # --- what the pilot does ---------------------------------------------------------------------------------------

    def given(self, run: int, tasks: Iterable[int]) -> None:
        """These tasks are the runtime's from now on."""
        self._open.setdefault(run, set()).update(tasks)

    def ended(self, run: int) -> None:
        """The pilot ends a run, of which nothing is open; one that was lost is over already."""
        assert not self._open.pop(run, ()), "a test ends a run that has tasks"

    def stopped(self) -> None:
        """The runtime has stopped: nothing may be told any more."""
        self._stopped = True

    @contextlib.contextmanager
    def within(self, call: str) -> Iterator[None]:
        """The pilot is in the middle of this call of the runtime's, and can hear of no task."""
        self._within = call
        try:
            yield
        finally:
            self._within = ""

    def complain(self, problem: str) -> None:
        """Note a broken promise."""
        self._complaints.append(f"{problem}\n{''.join(traceback.format_stack(limit=8)[:-1])}")

    def check(self) -> None:
        """Raise what there is to complain of.

        Raises:
            BrokenPromiseError: There is something.
        """
        if complaints := self._complaints:
            self._complaints = []
            raise BrokenPromiseError("\n".join(complaints))

    def open_of(self, run: int) -> set[int]:
        """Return the tasks of a run of which nothing was told yet; none of one that is over."""
        return self._open.get(run, set())

    @property
    def has_runs(self) -> bool:
        """Whether there are runs that have not ended."""
        return bool(self._open)

    def at_work_for(self, run: int) -> list[AtWork]:
        """Return the processes that were said to work for a run."""
        return self._at_work.get(run, [])

    @property
    def own_runs(self) -> list[int]:
        """Runs at work that are none of the pilot's."""
        return [run for run in self._at_work if run < 0]

    # --- what the runtime tells (the `Events` protocol) ------------------------------------------------------------

    def done(self, run: int, results: Sequence[Result]) -> None:
        """Hear of results."""
        self._hear_of_run("done", run, results)
        for result in results:
            self._tell(run, result.id, Told("done", result))

    def returned(self, run: int, tasks: Sequence[int]) -> None:
        """Hear of tasks that come back."""
        self._hear_of_run("returned", run, tasks)
        for task in tasks:
            self._tell(run, task, Told("returned"))

    def lost(self, run: int, error: Exception, untouched: Sequence[int] = ()) -> None:
        """Hear of a run that is over."""
        self._hear_of_run("lost", run, [run])
        if not isinstance(error, RhapsodyError):
            self.complain(f"run {run} is lost with {error!r}, which is none of our errors")
            error = RhapsodyError(repr(error))
        if strangers := set(untouched) - self.open_of(run):
            self.complain(f"run {run} is lost, and these are untouched that it did not hold: {strangers}")
        for task in sorted(self.open_of(run)):
            self._tell(run, task, Told("untouched" if task in untouched else "lost", error))
        self._open.pop(run, None)

    def pieces(self, run: int, pieces: Sequence[Piece], more: Callable[[More], None]) -> None:
        """Hear of pieces of open tasks, and take them."""
        self._hear("pieces", run)
        for piece in pieces:
            if piece.id in self.told or piece.number != len(kept := self.pieces_of.setdefault(piece.id, [])):
                self.complain(f"piece {piece.number} of task {piece.id}, of which that is not the next")
            kept.append(piece)
            more(More(piece.id, len(kept), sum(len(each.payload) for each in kept)))  # type: ignore[arg-type,misc]  # bytes

    def at_work(
        self,
        run: Run,
        host: str,
        pids: Mapping[str, int],
        on_exceeded: Callable[[MemoryExceeded], None] | None = None,
    ) -> None:
        """Hear of processes."""
        self._hear("at_work", run.id)
        if (run.id < 0) is not (on_exceeded is not None):
            self.complain(f"run {run.id}: a run of the runtime's own, and no other, says whom to tell of memory")
        if run.id >= 0 and run.id not in self._open:
            self.complain(f"processes work for run {run.id}, which there is not")
        self._at_work.setdefault(run.id, []).append(AtWork(host, dict(pids), on_exceeded))

    def at_rest(self, run: int) -> None:
        """Hear that nothing works for a run any more."""
        self._hear("at_rest", run)
        if run >= 0 or self._at_work.pop(run, None) is None:
            self.complain(f"run {run} is at rest, and was not at work for the runtime itself")

    def state(self, runtime: str, state: RuntimeState, detail: str = "") -> None:
        """Hear of a state."""
        self._hear("state", state)
        before: RuntimeState = self.states[-1][0] if self.states else "off"
        if state not in _NEXT[before]:
            self.complain(f"{runtime} is {state!r} after {before!r}")
        else:
            self.states.append((state, detail))

    def services(self, services: Sequence[ServiceReport]) -> None:
        """Hear of services."""
        self._hear("services", len(services))
        self.reports.append(list(services))

    # --- what must always hold -------------------------------------------------------------------------------------

    def _hear(self, call: str, what: Any) -> None:
        self.calls.append((call, what))
        if self._stopped:
            self.complain(f"{call}({what}) after the stop")

    def _hear_of_run(self, call: str, run: int, about: Sequence[Any]) -> None:
        self._hear(call, run)
        if self._within:
            self.complain(f"{call}({run}) from within {self._within}() of the pilot's")
        if run not in self._open:
            self.complain(f"{call}({run}): there is no such run, or it is over")
        if not about:
            self.complain(f"{call}({run}) about nothing")

    def _tell(self, run: int, task: int, told: Told) -> None:
        if task not in self.open_of(run):
            self.complain(f"task {task} is {told.how}, and run {run} does not hold it (before: {self.told.get(task)})")
            return
        self._open[run].discard(task)
        self.told[task] = told
