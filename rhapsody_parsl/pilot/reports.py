"""What the pilot tells the driver of its block, made in one place of what the core counts and the runtimes tell."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

import msgspec

from rhapsody_parsl.pilot.core import Core
from rhapsody_parsl.runtimes.protocol import Runtime
from rhapsody_parsl.wire.examination import Examine, Examined
from rhapsody_parsl.wire.messages import Report
from rhapsody_parsl.wire.reports import BlockReport, RuntimeReport, ServiceReport, TaskCounts
from rhapsody_parsl.wire.states import RuntimeState
from rhapsody_parsl.wire.totals import Totals

__all__ = ("Reports",)

_PART = 4000
"""Leases of a part of a report."""


class Reports:
    """The block's state as it is reported.

    Args:
        core: Counts tasks.
        runtimes: By name.

    Attributes:
        changed: Whether there is something new since the last report.
    """

    def __init__(self, core: Core, runtimes: Mapping[str, Runtime]) -> None:
        self._core, self._runtimes = core, runtimes
        self._states: dict[str, tuple[RuntimeState, str]] = {}
        self._services: tuple[ServiceReport, ...] = ()
        self.changed = True

    def note_runtime(self, name: str, state: RuntimeState, detail: str) -> None:
        """A runtime has this state now."""
        self._states[name] = state, detail
        self.changed = True

    def state_of(self, name: str) -> tuple[RuntimeState, str]:
        """Return the state of a runtime, and why it is so."""
        return self._states.get(name, ("off", ""))

    def examined(self, question: Examine, now: float) -> Examined:
        """Return the answer to whoever asks what waits and why.

        Args:
            question: What is asked.
            now: The time of the core.
        """
        look = self._core.examination
        lanes = look.lanes(self.state_of, self._services, now)
        return Examined(question.question, lanes, look.places(question.tasks, self._worker_of))

    def _worker_of(self, runtime: str, run: int) -> str:
        """Return the name of the process that has a run, where its runtime says so."""
        named = getattr(self._runtimes.get(runtime), "worker_of", None)
        return str(named(run)) if named else ""

    def note_services(self, services: Sequence[ServiceReport]) -> None:
        """These are the services now."""
        self._services = tuple(services)
        self.changed = True

    def make(self) -> Iterator[Report]:
        """Yield the report of this moment, in parts: as a whole that of a large block takes tens of megabytes."""
        self.changed = False
        core, running = self._core, self._core.running_by_runtime()
        report = BlockReport(
            tasks=TaskCounts(queued=core.queued, running=sum(running.values()), **_fields(core.tally.total())),
            runtimes=self._runtime_reports(running),
            services=self._service_reports(),
            lost_nodes=tuple(core.ledger.away),
            waits=core.waits(),
        )
        leases = core.open_leases()
        while len(part := list(islice(leases, _PART))) == _PART:
            yield Report(report, part, more=True)
        yield Report(report, part)

    def _runtime_reports(self, running: Mapping[str, int]) -> dict[str, RuntimeReport]:
        ended, reports = self._core.tally.by_runtime(), {}
        for name in self._runtimes:
            state, detail = self.state_of(name)
            totals = _fields(ended.get(name, Totals()))
            reports[name] = RuntimeReport(state=state, detail=detail, running=running[name], **totals)
        return reports

    def _service_reports(self) -> tuple[ServiceReport, ...]:
        ended = self._core.tally.by_service()
        return tuple(
            msgspec.structs.replace(service, requests=ended.get(service.name, Totals())) for service in self._services
        )


def _fields(totals: Totals) -> dict[str, int]:
    return msgspec.structs.asdict(totals)
