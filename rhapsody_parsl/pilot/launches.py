"""How many launches of MPI programs run at once: what is above waits, and neither holds a lease nor keeps nodes free.

A site may allow a job few steps at a time, and each launch is one. So those who launch go through a gate, which is
open while the runtime is ready and there are not enough launches. To all who decide it is one more name among those of
the runtimes that are ready.
"""

from typing import Protocol

from rhapsody_parsl.annotations.task_spec import TaskSpec

__all__ = ("Launches",)


class _Gated(Protocol):
    """The part of a lane that is seen here."""

    launches: bool


class Launches:
    """The launches of a block.

    Args:
        most: How many; 0 for any number.

    Attributes:
        most: The same.
    """

    def __init__(self, most: int = 0) -> None:
        self.most = most
        self._out = 0
        self._gates: dict[str, str] = {}  # of each gate the runtime
        self._ready: set[str] = set()

    @property
    def is_full(self) -> bool:
        """Whether another one has to wait."""
        return 0 < self.most <= self._out

    def watch(self, ready: set[str]) -> None:
        """Keep the gates among these names, which are those of the runtimes that are ready."""
        self._ready = ready

    def gate(self, spec: TaskSpec, runtime: str) -> str:
        """Return what has to be ready before tasks can start: their runtime, or the gate of those who launch by it."""
        if not self.most or not spec.launches:
            return runtime
        gate = f"{runtime} launches"
        self._gates[gate] = runtime
        self.review()
        return gate

    def runtime_of(self, name: str) -> str:
        """Return the runtime of a gate; of a runtime, itself."""
        return self._gates.get(name, name)

    def opened(self, lane: _Gated) -> None:
        """A run has begun."""
        self._count(lane, 1)

    def closed(self, lane: _Gated) -> None:
        """A run is over."""
        self._count(lane, -1)

    def _count(self, lane: _Gated, change: int) -> None:
        if lane.launches:
            self._out += change
            self.review()

    def review(self) -> None:
        """Open gates, or close them."""
        for gate, runtime in self._gates.items():
            is_open = runtime in self._ready and not self.is_full
            (self._ready.add if is_open else self._ready.discard)(gate)
