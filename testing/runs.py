"""Records of runs that never were, for tests of what reads records."""

from collections.abc import Callable
from pathlib import Path

from rhapsody_parsl.record.recorder import Recorder
from rhapsody_parsl.wire.door import DoorRequest
from rhapsody_parsl.wire.leases import LeaseRecord, Share
from rhapsody_parsl.wire.messages import RESULT, Result, Task
from rhapsody_parsl.wire.reports import BlockReport, ServiceReport
from rhapsody_parsl.wire.states import REQUEST_ENDS, RequestEnd, ServiceState
from rhapsody_parsl.wire.times import WAITS, RequestTimes, TaskTimes
from rhapsody_parsl.wire.use import GpuUse, NodeUse, Used
from testing.nodes import make_inventory, make_spec, make_task

BEGAN, PILOT = 1_000_000.0, 500.0
"""When these runs began, and what their pilots' clock said then."""
CLOCKS = BEGAN, PILOT


class MadeUp:
    """A recorder, a clock of its own, and a block of two nodes with four cores and a GPU each.

    Args:
        path: Of the record.
    """

    def __init__(self, path: Path | None) -> None:
        self.now = BEGAN
        self.recorder = Recorder(path, label="made up", package="1", default_runtime="local", clock=lambda: self.now)
        self.recorder.joined("0", make_inventory(*({"name": f"n{i}", "cores": 4, "gpus": 1} for i in range(2))))

    def at(self, seconds: float) -> "MadeUp":
        """Go on to so many seconds after the beginning."""
        self.now = BEGAN + seconds
        return self

    def worked(self, seconds: float, cpu: float, gpu: float, node: str = "n0") -> None:
        """A node told how much it had worked in the second before."""
        use = NodeUse(cpu=cpu, memory=cpu * 10, gpus=(GpuUse(busy=gpu, memory=5.0),))
        self.at(seconds).recorder.used("0", Used({node: use}, 1.0))

    def served(self, seconds: float, name: str, state: ServiceState, ready: int) -> None:
        """A block told how a service was."""
        service = ServiceReport(
            name=name, state=state, replicas=1, ready=ready, cores=1, gpus=0.0, node="n0", url="", model="m",
            since=0.0, detail="",
        )  # fmt: skip
        self.at(seconds).recorder.report("0", BlockReport(services=(service,)))

    def asked(  # noqa: PLR0913 - as many facts, most of them as usual
        self,
        came: float,
        seconds: float,
        *,
        service: str = "assistant",
        key: str = "",
        end: RequestEnd = "done",
        error: str = "",
        words: str = "",
        tokens: int = 0,
        had: bool = True,
        trace: str = "",
    ) -> None:
        """A request came to the front door, waited for a quarter of a second and ended; a replica `had` it, or not."""
        times = RequestTimes(BEGAN + came + 0.25, 0.125, 10, tokens, f"{service}-0") if had else None
        request = DoorRequest(
            0, service, key, "/v1/completions", BEGAN + came, 0.25, seconds, REQUEST_ENDS.index(end), 200, times,
            "n0" if had else "", int(had), error, words, trace,
        )  # fmt: skip
        self.at(came + seconds + 0.01).recorder.asked("0", [request])

    def ran(  # noqa: PLR0913 - as many facts, most of them as usual
        self,
        number: int,
        start: float,
        seconds: float,
        *,
        make: Callable[[Task], Result] | None = None,
        shares: tuple[Share, ...] = (Share("n0", (0,)),),
        waited: str = "nothing",
        name: str = "app",
        service: str = "",
        tokens: int = 0,
    ) -> None:
        """A task was submitted half a second before it was placed, and ran; its lease ends with it."""
        task = make_task(number, make_spec(name, service=service) if service else make_spec(name))
        self.at(start - 0.5).recorder.submitted(number)
        times = TaskTimes(PILOT + start - 0.25, PILOT + start, number if shares else 0, WAITS.index(waited))
        end = BEGAN + start + seconds
        request = RequestTimes(BEGAN + start, 0.125, 10, tokens, "r0") if service else None
        result = make(task) if make else Result(number, RESULT, b"", seconds, end, request)
        self.at(start + seconds + 0.01)
        leases = [LeaseRecord(number, "local", name, shares, BEGAN + start, end, 1)] if shares else []
        self.recorder.ended("0", [self.recorder.entry(task, result, times)], leases, CLOCKS)
