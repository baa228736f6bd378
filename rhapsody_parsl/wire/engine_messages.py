"""What the pilot and a model's engine say to each other; answers are `Done`, as of any process of a runtime."""

import msgspec

from rhapsody_parsl.wire.tagged import Tagged


class Ask(msgspec.Struct, array_like=True, frozen=True):
    """One request for the engine: `request` is msgpack of the full request dict; the answer is a `Done` of run 0.

    Attributes:
        apart: Whether it is to reach the engine by itself, in no list with others.
        priority: What the engine is told, lower first; 0 where it orders by arrival.
    """

    task: int
    request: bytes
    full: bool = False
    apart: bool = False
    priority: int = 0


class Asks(Tagged, frozen=True):
    """Requests for the engine: those of one moment come together, for a message costs as much as one of them."""

    asks: list[Ask]


class Abort(Tagged, frozen=True):
    """Stop generating for these tasks."""

    tasks: list[int]


class Pulse(Tagged, frozen=True):
    """The process of a replica is at work on requests; told from time to time while it has some."""


class Sleep(Tagged, frozen=True):
    """Free the engine's GPUs, once it has answered what it is asked, and keep the process."""


class Wake(Tagged, frozen=True):
    """Have the engine as it was before it slept; its GPUs are its own again."""


class Adapters(Tagged, frozen=True):
    """Have these adapters from now on, and before what is asked after this.

    Attributes:
        wanted: Folders by name; None where the engine finds its adapters by itself.
        unload: Others that are to go.
    """

    wanted: dict[str, str] | None
    unload: list[str] = msgspec.field(default_factory=list)


class Turned(Tagged, frozen=True):
    """The engine sleeps, or is awake and has given a token: whichever it was told."""


class Rendezvous(Tagged, frozen=True):
    """A head whose engine spans nodes listens here, on its own host: the processes of the other nodes may come."""

    address: str
    port: int
