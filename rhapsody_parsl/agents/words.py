"""What the pilot and a node agent say to each other. Payloads go through unopened."""

import msgspec

from rhapsody_parsl.hosts.probe import HostFacts
from rhapsody_parsl.hosts.use import HostUse

__all__ = (
    "Begun",
    "DropValues",
    "Ended",
    "Environment",
    "FromAgent",
    "HangUp",
    "Hello",
    "KeepValues",
    "Kill",
    "Leave",
    "Left",
    "Open",
    "Relayed",
    "Release",
    "Settings",
    "Start",
    "ToAgent",
    "Uses",
)


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
        names: Where many are told the same: the name of each, by its host. `name` and `host` are "" then.
        use_every: Seconds between two words on how much the host works; 0 wants none.
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
    names: dict[str, str] = {}
    use_every: float = 0.0


class Relayed(msgspec.Struct, tag="relayed", array_like=True, frozen=True):
    """A message of a process of the host, or to one; its frames follow the words it came with.

    Attributes:
        exchange: Which conversation it belongs to.
        peer: Name of the process there.
        frames: How many there are of them here.
        more: Whether the message goes on.
    """

    exchange: str
    peer: str
    frames: int
    more: bool = False


class Open(msgspec.Struct, tag="open", array_like=True, frozen=True):
    """Let processes speak on an exchange: a socket of this name in the private folder.

    Attributes:
        exchange: Its name.
        after: Another one: what is said here comes after all that was said there.
        tells_left: Whether to say which processes have left.
    """

    exchange: str
    after: str = ""
    tells_left: bool = False


class HangUp(msgspec.Struct, tag="hang up", array_like=True, frozen=True):
    """Hear a process no more: what it said was no message."""

    exchange: str
    peer: str


class Environment(msgspec.Struct, tag="environment", array_like=True, frozen=True):
    """These are the job's variables."""

    variables: dict[str, str]


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


ToAgent = Relayed | Open | HangUp | Environment | Start | Release | Kill | Leave | KeepValues | DropValues
FromAgent = Relayed | Hello | Begun | Ended | Left | Uses
