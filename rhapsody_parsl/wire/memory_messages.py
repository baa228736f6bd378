"""What the pilot and a host's memory watch say to each other."""

from typing import Literal

from rhapsody_parsl.wire.tagged import Tagged


class Limit(Tagged, frozen=True):
    """The processes of a run, with all below them, may hold so many bytes together.

    Attributes:
        pids: By name, under which a worker's mark lies in the private folder.
        noted: Whether others work for the run as well, which note it themselves (see `cluster.noted`).
    """

    run: int
    pids: dict[str, int]
    memory: int
    noted: bool = False


class Release(Tagged, frozen=True):
    """A run has no limit any more; `stopped` says what becomes of processes that were stopped because of it."""

    run: int
    stopped: Literal["continue", "stay", "kill"] = "continue"


class Exceeded(Tagged, frozen=True):
    """A run holds `peak` bytes, more than its limit: its processes are stopped where they are, until its `Release`."""

    run: int
    peak: int
