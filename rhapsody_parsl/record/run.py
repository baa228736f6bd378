"""A run as its record tells it. All times are seconds since the epoch, 0 where something never happened."""

from typing import Literal

import msgspec

from rhapsody_parsl.wire.leases import LeaseRecord, Share
from rhapsody_parsl.wire.states import Outcome, RequestEnd
from rhapsody_parsl.wire.times import RequestTimes, WaitedFor

__all__ = (
    "BlockRecord", "NodeRecord", "RequestRecord", "RunRecord", "Sample", "ServiceMoment", "TaskRecord", "UseRecord",
)  # fmt: skip


class TaskRecord(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A task that has ended.

    Attributes:
        task: Its number in the executor.
        app: Name of its app.
        runtime: Whose it was.
        service: The service that it asked, or "".
        block: Where it was at last; "" for nowhere.
        outcome: What became of it; `raised` when its code raised.
        failure: Class of the error, or "".
        words: What the error said.
        submitted: When the driver had it.
        accepted: When its block's pilot had it.
        placed: When it was given to a runtime.
        started: When its code started.
        ended: When its code ended.
        heard: When the driver had its result.
        waited_for: What it waited for in its block.
        tries: How often it was started, or would have been.
        lease: Number of its lease in the block; 0 for none.
        shares: What it held of each node. Tasks that ran one after the other on one lease have the same.
        request: For a request.
    """

    task: int
    app: str
    runtime: str
    service: str = ""
    block: str = ""
    outcome: Outcome | Literal["raised"]
    failure: str = ""
    words: str = ""
    submitted: float = 0.0
    accepted: float = 0.0
    placed: float = 0.0
    started: float = 0.0
    ended: float
    heard: float
    waited_for: WaitedFor = "nothing"
    tries: int = 1
    lease: int = 0
    shares: tuple[Share, ...] = ()
    request: RequestTimes | None = None

    @property
    def waited(self) -> float:
        """Seconds from its submission until it was given to a runtime; of one that never was, until it ended."""
        return max(0.0, (self.placed or self.ended) - self.submitted) if self.submitted else 0.0

    @property
    def seconds(self) -> float:
        """Seconds that it ran."""
        return self.ended - self.started if self.started else 0.0


class RequestRecord(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A request at a front door. Requests of apps are tasks.

    Attributes:
        service: Whom it asked; "" where nobody serves what it asked for.
        key: Name of who holds its key; "" for the executor's own, which tasks have, too.
        path: What it asked for, `/v1/chat/completions`, say.
        block: At whose door it was.
        node: Where the replica was that had it; "" when none had.
        outcome: How it ended, see `wire.states.RequestEnd`; `under way` when the file does not tell that.
        status: HTTP's, of its answer; 0 where there was none.
        failure: With what it failed: a code of the door's, or HTTP's status; "" for nothing.
        words: What the engine said, or the door.
        came: When it came.
        waited: Seconds until a replica had it; of one that none had, until it ended.
        ended: When its answer was whole, or it ended in another way; while it is under way, as in `RunRecord`.
        tries: How many replicas it was given to.
        request: What befell it in the service; None when no replica had it.
        trace: The `traceparent` that its client sent, or "".
    """

    service: str
    key: str
    path: str
    block: str
    node: str
    outcome: RequestEnd | Literal["under way"]
    status: int
    failure: str
    words: str
    came: float
    waited: float
    ended: float
    tries: int
    request: RequestTimes | None
    trace: str = ""

    @property
    def seconds(self) -> float:
        """Seconds from when it came until it ended."""
        return self.ended - self.came


class NodeRecord(msgspec.Struct, frozen=True):
    """A node of a block, and what it has for tasks."""

    name: str
    cores: int
    gpus: float


class BlockRecord(msgspec.Struct, kw_only=True):
    """A block.

    Attributes:
        id: Its number.
        joined: When its pilot said hello.
        left: When it was gone; 0 while it is there.
        reason: Why.
        nodes: Its nodes.
        cores: Of all of them, those of services too.
        leases: Those that have ended. Those that were out last have `ended` 0.
    """

    id: str
    joined: float
    left: float = 0.0
    reason: str = ""
    nodes: tuple[NodeRecord, ...] = ()
    cores: int = 0
    leases: list[LeaseRecord] = msgspec.field(default_factory=list)


class Sample(msgspec.Struct, frozen=True):
    """The tasks of a block at a moment.

    Attributes:
        block: Its number.
        at: When.
        queued: How many waited.
        running: How many were with a runtime.
        waits: How many waited for what, by `WaitedFor`.
    """

    block: str
    at: float
    queued: int
    running: int
    waits: dict[str, int]


class UseRecord(msgspec.Struct, frozen=True):
    """How much a node works, from a moment until the next one of the node.

    Attributes:
        block: The block's number.
        at: When.
        node: The node's name.
        cpu: Part of the time that its cores worked, 0 to 1.
        memory: GB of the host's memory that were used.
        gpus: For each GPU the part of the time that it worked, and GB of its memory.
    """

    block: str
    at: float
    node: str
    cpu: float
    memory: float
    gpus: tuple[tuple[float, float], ...]


class ServiceMoment(msgspec.Struct, frozen=True):
    """A service of a block, from a moment on.

    Attributes:
        block: The block's number.
        at: When.
        name: Of the service.
        state: Its state.
        ready: How many replicas answered.
        replicas: How many it was to have.
        node: Where they were.
    """

    block: str
    at: float
    name: str
    state: str
    ready: int
    replicas: int
    node: str


class RunRecord(msgspec.Struct, kw_only=True):
    """An executor's run.

    Attributes:
        label: The executor's.
        package: Version of the package.
        began: When it started.
        ended: When it was shut down; without that the last time that is in the file.
        complete: Whether it was shut down; if not, it goes on, or was killed.
        unfinished: How many tasks had not ended when it was shut down.
        tasks: Those that have ended, in that order.
        blocks: In the order in which they came.
        samples: Every two seconds.
        services: Whenever one changed.
        use: Of each node, every two seconds or more, when it has changed.
        requests: Those at front doors that have ended, in that order; then those that were under way at last.
        dropped: How many more ended there while the pilot was too busy to hear of them.
    """

    label: str = ""
    package: str = ""
    began: float = 0.0
    ended: float = 0.0
    complete: bool = False
    unfinished: int = 0
    tasks: list[TaskRecord] = msgspec.field(default_factory=list)
    blocks: list[BlockRecord] = msgspec.field(default_factory=list)
    samples: list[Sample] = msgspec.field(default_factory=list)
    services: list[ServiceMoment] = msgspec.field(default_factory=list)
    use: list[UseRecord] = msgspec.field(default_factory=list)
    requests: list[RequestRecord] = msgspec.field(default_factory=list)
    dropped: int = 0
