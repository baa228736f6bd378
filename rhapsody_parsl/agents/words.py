"""What the pilot and a node agent say to each other. Payloads go through unopened."""

import msgspec

from rhapsody_parsl.hosts.probe import HostFacts
from rhapsody_parsl.hosts.use import HostUse

__all__ = (
    "NOT_THERE",
    "UNREACHABLE",
    "VALUES",
    "Abridged",
    "Begun",
    "DropValues",
    "Ended",
    "Environment",
    "FetchValue",
    "FromAgent",
    "GiveValues",
    "GivesValues",
    "HangUp",
    "Hello",
    "KeepValues",
    "Kill",
    "Leave",
    "Left",
    "Open",
    "Piece",
    "Relayed",
    "Release",
    "SendValue",
    "Settings",
    "Start",
    "ToAgent",
    "Uses",
    "ValueFetched",
)

VALUES = "values by the pilot"
"""No exchange of processes: a value travels there whose hosts do not reach each other. Its peer is the move's number;
its frames are the content, and before that, on the way to the host that wants it, the key."""

UNREACHABLE = "unreachable"
"""Why a value is not there: the host that has it was not reached, or fell silent."""
NOT_THERE = "not there"
"""Why a value is not there: the host that was to have it has it no more."""


class Settings(msgspec.Struct, frozen=True):
    """What a node agent is told first; it holds secrets.

    Attributes:
        address: Of the pilot.
        name: Its own on the pilot's listener, another one with every start.
        host: As the pilot calls the host.
        keys: Public key of the pilot; public and secret key of the agents.
        period: Seconds between heartbeats.
        threshold: Seconds of silence after which the other end counts as lost.
        path: Where Python's modules are.
        python: The interpreter of the agent; "" is that of what stands over it.
        archive: What that is to unpack before, see `staging`; "" is nothing.
        source: `address:port` of this block's first host, where that archive is had without the shared file system.
        own: Where many are told the same: by its host what of this is each one's own. `name` and `host` are "" then.
        use_every: Seconds between two words on how much the host works; 0 wants none.
        gateway: `tcp://host:port` of the agent by which it is to speak to the pilot; "" is by none.
        listens: `tcp://host:port` where it is to let others in that speak to the pilot by it; "" is nowhere.
    """

    address: str
    name: str
    host: str
    keys: tuple[str, str, str]
    period: float
    threshold: float
    path: list[str]
    python: str = ""
    archive: str = ""
    source: str = ""
    own: dict[str, dict[str, str]] = {}
    use_every: float = 0.0
    gateway: str = ""
    listens: str = ""


class Relayed(msgspec.Struct, tag="relayed", array_like=True, frozen=True):
    """A message of a process of the host, or to one; its frames follow the words it came with.

    Attributes:
        exchange: Which conversation it belongs to.
        peer: Name of the process there.
        frames: How many there are of them here; 0 for a small one, which is in `small`.
        more: Whether the message goes on.
        small: The only frame of a message, where that is small: a frame of its own costs each end five microseconds.
    """

    exchange: str
    peer: str
    frames: int = 0
    more: bool = False
    small: bytes = b""


class Piece(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A piece of a frame, see `shelf`.

    Attributes:
        name: Under which the agent keeps it; b"" for one that it does not keep.
        comes: Whether it comes with the message; else it is there.
    """

    name: bytes = b""
    comes: bool = True


class Abridged(Relayed, tag="abridged", array_like=True, frozen=True):
    """A message to a process of which the agent has some pieces.

    Attributes:
        plan: The pieces of each frame but the first, which comes whole.
    """

    plan: list[list[Piece]] = []


class Open(msgspec.Struct, tag="open", array_like=True, frozen=True):
    """Let processes speak on an exchange: a socket of this name in the private folder.

    Attributes:
        exchange: Its name.
        after: Another one: what is said here comes after all that was said there.
    """

    exchange: str
    after: str = ""


class HangUp(msgspec.Struct, tag="hang up", array_like=True, frozen=True):
    """Hear a process no more: what it said was no message."""

    exchange: str
    peer: str


class Environment(msgspec.Struct, tag="environment", array_like=True, frozen=True):
    """What processes of the job are started with.

    Attributes:
        variables: The environment's.
        umask: Which permissions new files do not get.
        limits: Soft limits, by their names.
    """

    variables: dict[str, str]
    umask: int
    limits: dict[str, int]


class Start(msgspec.Struct, tag="start", array_like=True, frozen=True):
    """Start a guarded process.

    Attributes:
        number: Its number, the pilot's.
        argv: The guard's options and the command.
        own: Its own variables, beside the job's; None removes one.
        files: Private files written before, by path.
        marks: Files that tell what workers began last (see `mark`), a pattern.
        log: File for its output.
        cwd: Where it runs.
        name: What it will call itself when it is up; "" for one that says nothing, and is not waited for.
    """

    number: int
    argv: list[str]
    own: dict[str, str | None]
    files: dict[str, str]
    marks: str
    log: str
    cwd: str
    name: str = ""


class Release(msgspec.Struct, tag="release", array_like=True, frozen=True):
    """Have the guard of a process stop it and all below it."""

    number: int


class Kill(msgspec.Struct, tag="kill", array_like=True, frozen=True):
    """Kill the guard of a process."""

    number: int


class Leave(msgspec.Struct, tag="leave", array_like=True, frozen=True):
    """Leave, with all that was started."""


class KeepValues(msgspec.Struct, tag="keep values", array_like=True, frozen=True):
    """Let processes here keep values by reference: see `hosts.data_place.open_place`."""

    token: str
    writer: str
    wish: int
    where: str


class DropValues(msgspec.Struct, tag="drop values", array_like=True, frozen=True):
    """Nobody needs these values any more."""

    keys: list[str]


class GiveValues(msgspec.Struct, tag="give values", array_like=True, frozen=True):
    """Other hosts may have values from here; the answer is `GivesValues`."""


class FetchValue(msgspec.Struct, tag="fetch value", array_like=True, frozen=True):
    """Have a value from the host that gives it at this address; the answer is `ValueFetched`."""

    number: int
    key: str
    address: str


class SendValue(msgspec.Struct, tag="send value", array_like=True, frozen=True):
    """Send a value to the pilot; the answer is on `VALUES`, or `ValueFetched` where there is none."""

    number: int
    key: str


class GivesValues(msgspec.Struct, tag="gives values", array_like=True, frozen=True):
    """Other hosts may have values from here, at this address."""

    address: str


class ValueFetched(msgspec.Struct, tag="value fetched", array_like=True, frozen=True):
    """A value is here; or it is not, for this reason."""

    number: int
    problem: str = ""


class Hello(msgspec.Struct, tag="hello", array_like=True, frozen=True):
    """A node agent's first word: what its host offers."""

    facts: HostFacts


class Begun(msgspec.Struct, tag="begun", array_like=True, frozen=True):
    """A process has been started, after those before it."""

    number: int


class Ended(msgspec.Struct, tag="ended", array_like=True, frozen=True):
    """A process has exited, or could not be started.

    Attributes:
        number: Its number.
        code: Its exit code.
        why: Why it could not be started.
        begun: The task that each worker that went with it began last.
    """

    number: int
    code: int = 1
    why: str = ""
    begun: dict[str, int] = {}


class Left(msgspec.Struct, tag="left", array_like=True, frozen=True):
    """A process speaks no more; all it said came before."""

    exchange: str
    peer: str


class Uses(msgspec.Struct, tag="uses", array_like=True, frozen=True):
    """How much the host works; said again when that has changed."""

    use: HostUse


ToAgent = (
    Relayed
    | Abridged
    | Open
    | HangUp
    | Environment
    | Start
    | Release
    | Kill
    | Leave
    | KeepValues
    | DropValues
    | GiveValues
    | FetchValue
    | SendValue
)
FromAgent = Relayed | Hello | Begun | Ended | Left | Uses | GivesValues | ValueFetched
