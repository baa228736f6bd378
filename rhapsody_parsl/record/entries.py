"""What the file of a run holds, entry by entry. All of it travels as arrays: a task takes some seventy bytes.

Times are seconds since the epoch, unless it is said that they are of a pilot's clock.
"""

from typing import Literal

import msgspec

from rhapsody_parsl.wire.leases import LeaseRecord
from rhapsody_parsl.wire.states import Outcome
from rhapsody_parsl.wire.times import RequestTimes, TaskTimes

__all__ = (
    "FORMAT", "OUTCOMES", "Asked", "AskedOut", "Asker", "BlockJoined", "BlockLeft", "BlockState", "Closed", "Ended",
    "Entry", "Failure", "LeasesOut", "NodeHas", "NodeUsed", "NodesUsed", "Note", "Opened", "RequestEntry",
    "ServiceState", "Spec", "TaskEntry",
)  # fmt: skip

FORMAT = 1
"""Raised when an entry changes its meaning."""

OUTCOMES: tuple[Outcome | Literal["raised"], ...] = ("done", "failed", "lost", "cancelled", "raised")
"""An outcome is written as its place in here. `raised` is what `done` is elsewhere, with an exception of the user's."""


class Note(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """An entry."""


class Opened(Note, frozen=True, tag=0):
    """The executor has started: the first entry of each file."""

    format: int
    label: str
    at: float
    package: str
    default_runtime: str


class Spec(Note, frozen=True, tag=1):
    """What tasks that are written as of this number are; the last one of a number counts."""

    number: int
    name: str
    runtime: str
    service: str
    cores: int
    gpus: float
    memory: float
    ranks: int


class Failure(Note, frozen=True, tag=2):
    """With what tasks failed that are written with this number."""

    number: int
    name: str
    words: str


class NodeHas(msgspec.Struct, array_like=True, frozen=True):
    """A node, and what it has for tasks."""

    name: str
    cores: int
    gpus: float


class BlockJoined(Note, frozen=True, tag=3):
    """A block is there; its leases count from 1 again."""

    block: str
    at: float
    nodes: tuple[NodeHas, ...]
    cores: int


class BlockLeft(Note, frozen=True, tag=4):
    """A block is gone."""

    block: str
    at: float
    reason: str


class BlockState(Note, frozen=True, tag=5):
    """How many tasks waited in a block for what, and how many were with a runtime."""

    block: str
    at: float
    queued: int
    running: int
    waits: dict[str, int]


class ServiceState(Note, frozen=True, tag=6):
    """A service has changed."""

    block: str
    at: float
    name: str
    state: str
    ready: int
    replicas: int
    node: str


class TaskEntry(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A task that has ended.

    Attributes:
        task: Its number.
        spec: Number of its `Spec`.
        submitted: When the driver had it; 0 where nobody knows.
        outcome: Its place in `OUTCOMES`.
        failure: Number of its `Failure`; 0 for none.
        ended: When its code ended, by its host's clock; 0 where that is not known.
        seconds: Inside the user's code.
        times: On the pilot's clock.
        request: For a request.
    """

    task: int
    spec: int
    submitted: float
    outcome: int
    failure: int = 0
    ended: float = 0.0
    seconds: float = 0.0
    times: TaskTimes = msgspec.field(default_factory=TaskTimes)
    request: RequestTimes | None = None


class Ended(Note, frozen=True, tag=7):
    """Tasks of a block, "" for none, and leases have ended.

    Attributes:
        block: Its number.
        at: When the driver heard of it.
        clocks: One moment as seconds since the epoch, and on the pilot's clock.
        tasks: The tasks.
        leases: The leases.
    """

    block: str
    at: float
    clocks: tuple[float, float]
    tasks: list[TaskEntry]
    leases: list[LeaseRecord]


class LeasesOut(Note, frozen=True, tag=8):
    """Leases that last; each is written once more when it has ended."""

    block: str
    at: float
    leases: list[LeaseRecord]


class NodeUsed(msgspec.Struct, array_like=True, frozen=True):
    """How much a node works from now on.

    Attributes:
        node: Its place in the block's `BlockJoined`.
        cpu: Part of the time that its cores worked.
        memory: GB that are used.
        gpus: For each GPU the part of the time that it worked, and GB of its memory.
    """

    node: int
    cpu: float
    memory: float
    gpus: tuple[tuple[float, float], ...] = ()


class NodesUsed(Note, frozen=True, tag=10):
    """How much nodes of a block work; one that is not named works as before."""

    block: str
    at: float
    nodes: list[NodeUsed]


class Asker(Note, frozen=True, tag=11):
    """What requests at a front door ask that are written with this number, and with whose key; the last one counts."""

    number: int
    service: str
    key: str
    path: str
    node: str


class RequestEntry(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A request at a front door; see `wire.door.DoorRequest`.

    Attributes:
        asker: Number of its `Asker`.
        came: When.
        waited: Seconds until a replica had it.
        seconds: From when it came until it ended.
        ended: How, as its place in `wire.states.REQUEST_ENDS`; means nothing while it is under way.
        status: HTTP's.
        times: What befell it in the service.
        tries: How many replicas it was given to.
        failure: Number of its `Failure`; 0 for none.
        trace: The `traceparent` of its client, or "".
        number: Of one that the door told of while it was under way; 0 for one that ended before that.
    """

    asker: int
    came: float
    waited: float
    seconds: float
    ended: int
    status: int
    times: RequestTimes | None = None
    tries: int = 0
    failure: int = 0
    trace: str = ""
    number: int = 0


class Asked(Note, frozen=True, tag=12):
    """Requests at the front door of a block have ended, and others that nobody could keep."""

    block: str
    at: float
    requests: list[RequestEntry]
    dropped: int = 0


class AskedOut(Note, frozen=True, tag=13):
    """Requests at the front door of a block that are under way; each is written once more when it has ended."""

    block: str
    at: float
    requests: list[RequestEntry]


class Closed(Note, frozen=True, tag=9):
    """The executor was shut down: the last entry, which a run that was killed has not."""

    at: float
    unfinished: int


Entry = (
    Opened
    | Spec
    | Failure
    | BlockJoined
    | BlockLeft
    | BlockState
    | ServiceState
    | Ended
    | LeasesOut
    | NodesUsed
    | Asker
    | Asked
    | AskedOut
    | Closed
)
