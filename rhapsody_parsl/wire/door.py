"""What is said for the front door: bytes of connections over the link, and in the block which replicas answer.

A connection to the driver's address is a stream of the link. Its number is the driver's, and is used once.
"""

import hashlib
from typing import Annotated

import msgspec

from rhapsody_parsl.wire.states import REQUEST_ENDS, RequestEnd
from rhapsody_parsl.wire.tagged import Tagged
from rhapsody_parsl.wire.times import RequestTimes

__all__ = (
    "FRONT_DOOR",
    "DoorKey",
    "DoorKeys",
    "DoorLoads",
    "DoorRequest",
    "DoorRequests",
    "DoorRoutes",
    "DoorVisits",
    "FromDoor",
    "ModelRoutes",
    "Route",
    "ToDoor",
    "TunnelCredit",
    "TunnelData",
    "TunnelEnd",
    "TunnelOpen",
    "Tunnelled",
    "hash_of",
)

FRONT_DOOR = "front door"
"""How it is called where services have their names; no service can have one with a space."""

# --- driver and pilot, both ways ---------------------------------------------------------------------------------


class TunnelOpen(Tagged, frozen=True):
    """Somebody has connected at the driver: connect to the block's front door."""

    stream: int


class TunnelData(Tagged, frozen=True):
    """Bytes of a stream."""

    stream: int
    data: bytes


class TunnelCredit(Tagged, frozen=True):
    """So many bytes more may be sent in a stream; stream 0 is all streams of the link together."""

    stream: int
    size: int


class TunnelEnd(Tagged, frozen=True):
    """Nothing more comes in a stream, and nothing more is taken."""

    stream: int


Tunnelled = TunnelOpen | TunnelData | TunnelCredit | TunnelEnd


# --- driver to pilot, and pilot to the door ----------------------------------------------------------------------


class DoorKey(msgspec.Struct, array_like=True, frozen=True):
    """A key that the door takes beside the block's own.

    Attributes:
        name: Of who has it.
        hash: Of the key, see `hash_of`.
        requests_per_minute: How many requests may begin within a minute; 0 is any number.
        concurrency: How many may be under way at once; 0 is any number.
    """

    name: str
    hash: str
    requests_per_minute: int = 0
    concurrency: int = 0


class DoorKeys(Tagged, frozen=True):
    """The keys that the door takes beside the block's own, all of them."""

    keys: list[DoorKey]


def hash_of(key: str) -> str:
    """Return what is kept and told of a key; keys are long and random, so that nobody can find one from it."""
    return hashlib.sha256(key.encode(errors="replace")).hexdigest()


# --- pilot to the door -------------------------------------------------------------------------------------------


class Route(msgspec.Struct, array_like=True, frozen=True):
    """A replica that answers.

    Attributes:
        replica: Its name, another one with every start.
        url: Of its API, which ends in `/v1`.
        node: Where it is; names joined by commas, "" for one that leases nothing.
        kept: Whether it gets nothing now.
    """

    replica: str
    url: str
    node: str = ""
    kept: bool = False


class ModelRoutes(msgspec.Struct, array_like=True, frozen=True):
    """A model, and where it answers now.

    Attributes:
        service: The service's name.
        secret: The key of its replicas.
        routes: The replicas that take requests.
        refusal: Why nobody need wait for a replica, "" while one may come.
        adapters: Whether its replicas load adapters that nobody has named before.
        in_flight: Requests that each replica gets at once.
        waiting: Requests that may wait for one.
    """

    service: str
    secret: str
    routes: list[Route]
    refusal: str = ""
    adapters: bool = False
    in_flight: int = 256
    waiting: int = 10_000


class DoorRoutes(Tagged, frozen=True):
    """How the block's models are now; the answer is a `DoorVisits` of this version.

    Attributes:
        version: Counts these messages.
        models: All of them.
        closing: Whether the block is about to leave: connections are closed after their next answer.
    """

    version: int
    models: list[ModelRoutes]
    closing: bool = False


class DoorLoads(Tagged, frozen=True):
    """How many requests of apps each replica has, where it has some: they take places, as those of the door do."""

    held: dict[str, int]


ToDoor = DoorRoutes | DoorKeys | DoorLoads


# --- the door to the pilot ---------------------------------------------------------------------------------------


class DoorVisits(Tagged, frozen=True):
    """The requests that the door has.

    Attributes:
        version: Of the last `DoorRoutes`: a replica that was not in it gets nothing more.
        held: How many each replica has, where it has some.
        waiting: How many wait for a replica, by service, where some do.
        answered: Replicas that have answered since the last message, by the names that they keep with each start.
        deaths: Replicas that died under requests, each with the number of one that explains it: it was found to kill
            replicas, or left before that could be known. 0 while one may be found to.
    """

    version: int
    held: dict[str, int]
    waiting: dict[str, int]
    answered: list[str] = msgspec.field(default_factory=list)
    deaths: dict[str, int] = msgspec.field(default_factory=dict)


# --- the door to the pilot, and the pilot to the driver ----------------------------------------------------------


class DoorRequest(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A request at the door: it is under way, or has ended.

    Attributes:
        number: Of one that was told while it was under way; 0 for one that ended before that.
        service: Whom it asks; "" for none that is there.
        key: Name of who holds its key, "" for the block's own; never the key.
        path: What it asks for.
        came: When, in seconds since the epoch.
        waited: Seconds until a replica had it, the last one; of one that none had, until it ended.
        seconds: From when it came until it ended; 0 while it is under way.
        ended: How it ended, as its place in `REQUEST_ENDS`.
        status: HTTP's, of its answer; 0 where there was none.
        times: What befell it in the service; None when no replica had it.
        node: Where that replica was.
        tries: How many replicas it was given to.
        error: With what it failed, "" for nothing.
        words: What that said.
        trace: The `traceparent` of its client, or "".
    """

    number: int
    service: str
    key: str
    path: str
    came: float
    waited: float = 0.0
    seconds: float = 0.0
    ended: Annotated[int, msgspec.Meta(ge=0, lt=len(REQUEST_ENDS))] = 0
    status: int = 0
    times: RequestTimes | None = None
    node: str = ""
    tries: int = 0
    error: str = ""
    words: str = ""
    trace: str = ""

    @property
    def end(self) -> RequestEnd:
        """How it ended."""
        return REQUEST_ENDS[self.ended]


class DoorRequests(Tagged, frozen=True):
    """What has become of requests at the door since it was told last; for the record of the run.

    Attributes:
        begun: Those that are under way for a while, told once.
        ended: Those that have ended.
        waiting: How many wait for a replica now, by service, where some do.
        answering: How many replicas have now, in the same way.
        dropped: How many more have ended that nobody could keep.
        gone: Why the door's process has ended; "" while it lives. What it had told as begun is lost.
    """

    begun: list[DoorRequest] = msgspec.field(default_factory=list)
    ended: list[DoorRequest] = msgspec.field(default_factory=list)
    waiting: dict[str, int] = msgspec.field(default_factory=dict)
    answering: dict[str, int] = msgspec.field(default_factory=dict)
    dropped: int = 0
    gone: str = ""


FromDoor = DoorVisits | DoorRequests
