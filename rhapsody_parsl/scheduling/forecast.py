"""What a simulation says: when each task would run, and where."""

from collections.abc import Sequence

import msgspec

__all__ = ("Forecast", "SimulatedTask", "Waits")


class SimulatedTask(msgspec.Struct, frozen=True, kw_only=True):
    """When a task would run. Times are in seconds since the trace began.

    Attributes:
        name: The app's.
        submitted: When it is submitted.
        started: When it would start.
        ended: When it would end.
        nodes: Where.
        cores: How many it would hold.
    """

    name: str
    submitted: float
    started: float
    ended: float
    nodes: tuple[str, ...]
    cores: int

    @property
    def wait(self) -> float:
        """Seconds from its submission to its start."""
        return self.started - self.submitted


class Waits(msgspec.Struct, frozen=True, kw_only=True):
    """How long tasks would wait, in seconds.

    Attributes:
        mean: On average.
        p50: Half of them not longer.
        p95: 95 % of them not longer.
        max: None longer.
    """

    mean: float
    p50: float
    p95: float
    max: float

    @staticmethod
    def of(waits: Sequence[float]) -> "Waits":
        """Return it for some tasks' waits; all zero for none."""
        if not waits:
            return Waits(mean=0.0, p50=0.0, p95=0.0, max=0.0)
        rising = sorted(waits)

        def part(percent: int) -> float:
            return rising[-(-len(rising) * percent // 100) - 1]

        return Waits(mean=sum(rising) / len(rising), p50=part(50), p95=part(95), max=rising[-1])


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """A block's work as it would go.

    Attributes:
        tasks: Of the trace, in its order.
        waits: How long they would wait.
        utilisation: The part of the block's cores that would be lent while tasks wait; 1 when none waits.
        seconds: When the last one would end.
    """

    tasks: tuple[SimulatedTask, ...]
    waits: Waits
    utilisation: float
    seconds: float
