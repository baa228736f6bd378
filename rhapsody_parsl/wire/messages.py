"""Every message, but some for engines, memory watches, streams and tasks of tasks: they have files of their own here.

Two conversations use them: driver and pilot (over the link), pilot and the processes of a runtime (over a hub).
A payload is the user's bytes; only the two ends open it.
"""

from typing import Any, Literal

import msgspec

from rhapsody_parsl.errors import RhapsodyError
from rhapsody_parsl.wire.child_messages import AskChild, CancelChildren, ChildAnswer
from rhapsody_parsl.wire.door import DoorKeys, DoorRequests, FromDoor, ToDoor, Tunnelled
from rhapsody_parsl.wire.engine_messages import Abort, Adapters, Asks, Pulse, Rendezvous, Sleep, Turned, Wake
from rhapsody_parsl.wire.examination import Examine, Examined
from rhapsody_parsl.wire.failures import is_lost, to_wire
from rhapsody_parsl.wire.leases import LeaseRecord
from rhapsody_parsl.wire.mail_messages import OpenMailbox, Rested
from rhapsody_parsl.wire.memory_messages import Exceeded, Limit, Release
from rhapsody_parsl.wire.piece_messages import ChildMore, ChildPieces, More, Pieces
from rhapsody_parsl.wire.reports import BlockReport, Inventory
from rhapsody_parsl.wire.states import Outcome
from rhapsody_parsl.wire.tagged import Tagged
from rhapsody_parsl.wire.times import RequestTimes, TaskTimes
from rhapsody_parsl.wire.turn_messages import LendCores, TakeCores
from rhapsody_parsl.wire.use import Used
from rhapsody_parsl.wire.value_messages import FromValues, OfHandles, OfValues, ToValues, ValueHere

VERSION = 8
"""Raised when a message changes meaning; both ends of the link compare it."""

RESULT, RAISED, FAILED = 0, 1, 2
"""What a `Result` holds: a value's payload, an exception's payload, or one of our errors as `(name, facts)`."""

_decode_error = msgspec.msgpack.Decoder(tuple[str, list[Any]]).decode

PROMPT, LOST = 3, 4
"""A request's body ended well: msgpack of its requests. A fresh process died under its task, which may run again."""
JOINED, PARTLY = 5, 6
"""The results of a list of prompts, see `joined`: all of them, or not those of some that failed."""
ECHO = 7
"""As RAISED, by a rank of a gang because another one has failed; no task ends so."""


class SharedPayload(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A payload that lies in a file of its host's memory: see `shared_memory`."""

    path: str
    size: int

    def __len__(self) -> int:
        """Return the payload's size."""
        return self.size


class Task(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One call. `spec` is an encoded `TaskSpec`, `request` encoded request parameters (empty for most tasks).

    `takes` are keys and sizes of the values that it takes by reference. `asker` is the process that has submitted it
    and hears answers past the pilot, with its number there.
    """

    id: int
    spec: bytes
    payload: bytes | SharedPayload | int
    request: bytes = b""
    takes: tuple[tuple[str, int], ...] = ()
    asker: tuple[str, int] | None = None


class Result(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """How one call ended: `kind` is RESULT, RAISED or FAILED; `seconds` is the time inside the user's code.

    `ended` is when, in seconds since the epoch, by the clock of its host; 0 where nobody there could tell. `gives` are
    keys and sizes of the values of its own block whose handles it carries. With `told` its asker has it past the pilot.
    """

    id: int
    kind: int
    payload: bytes | SharedPayload | int
    seconds: float = 0.0
    ended: float = 0.0
    request: RequestTimes | None = None
    gives: tuple[tuple[str, int], ...] = ()
    told: bool = False

    @property
    def outcome(self) -> Outcome:
        """What became of the task."""
        if self.kind != FAILED:
            return "failed" if self.kind == PARTLY else "done"
        try:
            lost = isinstance(self.payload, bytes) and is_lost(_decode_error(self.payload)[0])
        except Exception:  # noqa: BLE001 - what bytes of anybody's can raise; who opens it tells the task
            lost = False
        return "lost" if lost else "failed"


def failed(task: int, error: RhapsodyError) -> Result:
    """Return one of our errors as the result of a task."""
    return Result(task, FAILED, msgspec.msgpack.encode(to_wire(error)))


# --- driver to pilot ---------------------------------------------------------------------------------------------


class Submit(Tagged, frozen=True):
    """Take these tasks."""

    tasks: list[Task]


class Cancel(Tagged, frozen=True):
    """End these tasks, queued or running; they are not reported any more."""

    tasks: list[int]


class Stop(Tagged, frozen=True):
    """Leave: at once, or, giving back what has not begun, when nothing is left to do."""

    drain: bool = False


class Serve(Tagged, frozen=True):
    """Have a service like this from now on; the answer is a `Served`.

    Attributes:
        order: A number for the answer; 0 wants none.
        service: An encoded `ServiceConfig`: one that is new, or has another number of replicas, or other adapters.
        drain: Whether replicas that go finish what they have begun.
        renew: Whether each replica is started again.
        unload: Adapters that its replicas are to forget.
    """

    order: int
    service: bytes
    drain: bool = True
    renew: bool = False
    unload: list[str] = msgspec.field(default_factory=list)


# --- pilot to driver ---------------------------------------------------------------------------------------------


class Hello(Tagged, frozen=True):
    """The pilot is there.

    Attributes:
        version: Its `VERSION`.
        block: The block's number.
        package: Version of its package.
        inventory: What the block holds.
    """

    version: int
    block: str
    package: str
    inventory: Inventory


class Results(Tagged, frozen=True):
    """These tasks ended, and these leases with them.

    `times` are those of the tasks, in their order; none when they are not recorded. `clocks` is this moment: seconds
    since the epoch, and on the clock of `times`.
    """

    results: list[Result]
    leases: list[LeaseRecord] = msgspec.field(default_factory=list)
    times: list[TaskTimes] = msgspec.field(default_factory=list)
    clocks: tuple[float, float] = (0.0, 0.0)


class Report(Tagged, frozen=True):
    """How the block is, and the leases that are out; replaces the one before. With `more`, its next part follows."""

    state: BlockReport
    leases: list[LeaseRecord] = msgspec.field(default_factory=list)
    more: bool = False


class Served(Tagged, frozen=True):
    """An order about a service is taken in, or refused: one of our errors as `(name, facts)`, or ""."""

    order: int
    error: str = ""
    facts: list[Any] = msgspec.field(default_factory=list)


class Holds(Tagged, frozen=True):
    """What the block holds for tasks is another than its hello said: a service has given back what it held."""

    inventory: Inventory


class Goodbye(Tagged, frozen=True):
    """The pilot leaves: `reason` for people, `begun` are unfinished tasks that had been given to a runtime.

    All other unfinished tasks never began, and are the driver's again.
    """

    reason: str
    begun: list[int] = msgspec.field(default_factory=list)


# --- pilot to a worker or rank -----------------------------------------------------------------------------------

Mode = Literal["call", "process", "prompt", "rank", "together"]


class Setting(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Where the tasks of a run are.

    Attributes:
        cwd: Their working directory, relative to the block's; "" for that.
        sandboxes: The folder in which each has one of its own, which is its working directory then; "" for none.
        port: Whether a port is kept for the ranks of each to meet at.
    """

    cwd: str = ""
    sandboxes: str = ""
    port: bool = False


class Work(Tagged, frozen=True):
    """Run these one after the other, pinned to `cores`, with `env` set for these tasks alone.

    `mode`: `call` in this process, `process` in a fresh one, `prompt` evaluates a request's body, `rank` on every rank
    of the group `ranks` (world ranks, in the group's order). `shared_memory` is the folder for large results, or "".
    `memory` is the limit in bytes that holds for the process and all below it, 0 for none. `signal` is sent to the
    tasks' processes at `signal_at`, in seconds since the epoch; 0 is none. `setting` is where they are, None for where
    the process is.
    """

    run: int
    mode: Mode
    cores: tuple[int, ...]
    env: dict[str, str]
    tasks: list[Task]
    ranks: tuple[int, ...] = ()
    all_results: bool = False
    shared_folder: str = ""
    memory: int = 0
    signal: int = 0
    signal_at: float = 0.0
    setting: Setting | None = None


class Recall(Tagged, frozen=True):
    """Give back those of these tasks that have not begun; with `kill`, end your whole process tree if one has."""

    run: int
    tasks: list[int]
    kill: bool = False


class Quit(Tagged, frozen=True):
    """Leave."""


# --- a worker, rank or head to the pilot -------------------------------------------------------------------------


class WorldFacts(msgspec.Struct, array_like=True, frozen=True, tag="world"):
    """What a rank says of its world.

    Attributes:
        size: How many ranks it has.
    """

    size: int


class ServiceFacts(msgspec.Struct, array_like=True, frozen=True, tag="service"):
    """What the head of a service's replica says of it.

    Attributes:
        url: Where it answers.
        model: The name by which its HTTP API knows the model; "" for what is none.
        port: Where it listens.
    """

    url: str
    model: str
    port: int


class Ready(Tagged, frozen=True):
    """A process of a runtime is there; `facts` are those of a world's rank or of a replica's head."""

    host: str
    pid: int
    facts: WorldFacts | ServiceFacts | None = None


class Done(Tagged, frozen=True):
    """These tasks of a run ended."""

    run: int
    results: list[Result]


class Returned(Tagged, frozen=True):
    """These tasks had not begun, and will not here: their sender has them again. `run` is 0 for those that waited."""

    run: int
    tasks: list[int]


# --- pilot and the head of a runtime -----------------------------------------------------------------------------


class Spawn(Tagged, frozen=True):
    """Start a worker under this name on this host, pinned to `cores`."""

    worker: str
    host: str
    cores: tuple[int, ...]
    env: dict[str, str]


class Kill(Tagged, frozen=True):
    """Kill this worker, which is not ready in time."""

    worker: str


class Exited(Tagged, frozen=True):
    """A worker of the head's ended; `begun` is the task it began last, None when nobody knows (see `wire.mark`)."""

    worker: str
    reason: str
    begun: int | None = None


class Failed(Tagged, frozen=True):
    """The process cannot do its work and leaves: one of our errors as `(name, facts)`.

    Attributes:
        killed: Whether that is because a signal that somebody or the system sends ended what did the work.
    """

    error: str
    facts: list[Any]
    killed: bool = False


# --- pilot and the process of a task that submits tasks ----------------------------------------------------------


class SubmitChildren(Tagged, frozen=True):
    """A task submits these, whose numbers are its process's own; with `keep` they live on when it ends.

    `heard` are earlier ones that it knows to have ended, past the pilot: number, seconds, and when.
    """

    parent: int
    tasks: list[Task]
    keep: bool = False
    heard: tuple[tuple[int, float, float], ...] = ()


class ChildrenEnded(Tagged, frozen=True):
    """These ended, by the numbers of the process that they are for."""

    results: list[Result]


class Deliver(Tagged, frozen=True):
    """Messages for the agent of a process, in order; with `rest` it is to write its checkpoint, and gets no more."""

    tasks: list[Task]
    shared_folder: str = ""
    rest: bool = False


class Answered(Tagged, frozen=True):
    """What an agent answers to messages."""

    name: str
    results: list[Result]


OfChildren = AskChild | SubmitChildren | CancelChildren | ChildMore
FromParent = OfChildren | OpenMailbox | Answered | Rested | LendCores | TakeCores | OfHandles
ToParent = ChildAnswer | ChildrenEnded | ChildPieces | Deliver
FromTask = FromParent | OfValues
ToTask = ToParent | ValueHere
ToCore = Submit | Cancel | Stop | Serve | Examine | More
FromCore = Hello | Results | Report | Returned | Served | Holds | Examined | Pieces | Used | DoorRequests | Goodbye
ToPilot = ToCore | Tunnelled | DoorKeys | ToValues
FromPilot = FromCore | Tunnelled | FromValues
ToEngine = Asks | Abort | Sleep | Wake | Adapters
ToBackend = Work | Recall | Quit | Spawn | Kill | Limit | Release | ToEngine | ToDoor | ToTask | More
FromEngine = Pulse | Turned
FromBackend = (
    Ready | Done | Returned | Exited | Failed | Exceeded | Rendezvous | FromEngine | FromDoor | Pieces | FromTask
)
Message = ToPilot | FromPilot | ToBackend | FromBackend
