"""What a pilot says of its block: what it holds, once, and how it is, twice per second.

All of it travels by field names. So a driver understands the hello of a pilot with another version of the package, and
can tell the user of the difference: in an inventory it passes over a field that it does not know. A report comes from a
pilot of its own version, and every field of it is known.
"""

from typing import Annotated

import msgspec

from rhapsody_parsl.wire.states import RuntimeState, ServiceState
from rhapsody_parsl.wire.totals import Totals

__all__ = ("BlockReport", "Inventory", "NodeFacts", "RuntimeReport", "ServiceReport", "TaskCounts")

_MOST = 1 << 32
"""Cores, GPUs or GB that anything has; a number above is none."""

_Cores = Annotated[int, msgspec.Meta(ge=0, le=_MOST)]
_Amount = Annotated[float, msgspec.Meta(ge=0, le=_MOST)]


class NodeFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a node has for tasks at best: what services hold for the block's life is not in it.

    Attributes:
        name: As the batch system calls it.
        cores: How many.
        gpus: How many; a part of one may be left.
        memory: GB.
        labels: Those that it carries, its name among them.
    """

    name: str
    cores: _Cores
    gpus: _Amount = 0.0
    memory: _Amount = 0.0
    labels: frozenset[str] = frozenset()


class Inventory(msgspec.Struct, frozen=True, kw_only=True):
    """What a block holds.

    Attributes:
        python: Version of its interpreter.
        nodes: Its nodes.
        cores: Cores of all nodes, those of services too.
        shared_memory: Whether it sees the driver's folder for large payloads.
        host: Where the pilot is.
        runtimes: Names of its runtimes, sorted.
        ends_at: Seconds since the epoch at which its job ends; None where nobody says.
        lasts: Seconds from the pilot's first word until then; None as above.
    """

    python: str
    nodes: Annotated[tuple[NodeFacts, ...], msgspec.Meta(min_length=1)]
    cores: Annotated[int, msgspec.Meta(ge=1, le=_MOST)]
    shared_memory: bool = False
    host: str = ""
    runtimes: tuple[str, ...] = ()
    ends_at: float | None = None
    lasts: float | None = None


class TaskCounts(Totals, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The tasks of a block.

    Attributes:
        queued: Wait for a lease.
        running: Are with a runtime, prefetched ones too.
    """

    queued: int = 0
    running: int = 0


class RuntimeReport(Totals, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A runtime of a block, and its tasks.

    Attributes:
        state: Its state.
        detail: Why, for people.
        running: Tasks that are with it, prefetched ones too.
    """

    state: RuntimeState = "off"
    detail: str = ""
    running: int = 0


class ServiceReport(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A service of a block.

    Attributes:
        name: As users call it.
        state: Its state.
        replicas: How many it is to have.
        ready: How many of them answer.
        changing: How many start, stop, wait for room, or are to be started again.
        cores: That its replicas lease, in all.
        gpus: That its replicas lease, in all.
        node: Where they are, names joined by commas.
        url: Of a replica that answers, or "".
        model: What it serves.
        since: Seconds since the epoch at which it came into this state.
        detail: Why, for people.
        requests: Requests that have ended.
    """

    name: str
    state: ServiceState
    replicas: int
    ready: int
    cores: int
    gpus: float
    node: str
    url: str
    model: str
    since: float
    detail: str
    requests: Totals = Totals()
    changing: int = 0


class BlockReport(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a block is.

    Attributes:
        tasks: Its tasks.
        runtimes: Its runtimes, by name.
        services: Its services.
        lost_nodes: Names of nodes that are lost, and not back.
        waits: How many tasks wait for what: see `wire.times.WaitedFor`.
    """

    tasks: TaskCounts = TaskCounts()
    runtimes: dict[str, RuntimeReport] = {}
    services: tuple[ServiceReport, ...] = ()
    lost_nodes: tuple[str, ...] = ()
    waits: dict[str, int] = {}
