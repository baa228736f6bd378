"""What a block gives to what runs in it: nodes and leases, where things lie, and whom to tell."""

import signal
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from rhapsody_parsl.agents.host import Host
from rhapsody_parsl.annotations.task_spec import TaskSpec
from rhapsody_parsl.errors import MemoryExceeded, RhapsodyError
from rhapsody_parsl.hosts import noted
from rhapsody_parsl.hosts.probe import GB
from rhapsody_parsl.in_block.gpu_memory import GpuMemory
from rhapsody_parsl.wire.leases import Share, alone
from rhapsody_parsl.wire.messages import Result
from rhapsody_parsl.wire.piece_messages import More, Piece
from rhapsody_parsl.wire.reports import ServiceReport
from rhapsody_parsl.wire.states import RuntimeState

__all__ = ("Context", "Events", "Leases", "Loan", "Node", "Placed", "Run", "real_of")


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A node of the block.

    Attributes:
        name: Unique in the block; leases name it.
        host: Where to start a process on it; several declared nodes may share one.
        cores: Declared core ids, 0..n-1 in the ledger's eyes.
        real_cores: The operating system's id of each declared core, same order (declared may repeat real ones).
        gpus: Device ids as the vendor's variable takes them.
        gpu_vendor: `nvidia`, `amd`, `intel` or "".
        memory: GB.
        labels: For `Policy(labels=...)`.
        domains: The declared cores of each NUMA domain.
        near: For each GPU the declared cores near it; empty where the kernel does not say.
        address: What other hosts call its host in the network; "" is as `host`.
    """

    name: str
    host: str
    cores: tuple[int, ...]
    real_cores: tuple[int, ...]
    gpus: tuple[str, ...] = ()
    gpu_vendor: str = ""
    memory: float = 0.0
    labels: tuple[str, ...] = ()
    domains: tuple[tuple[int, ...], ...] = ()
    near: tuple[tuple[int, ...], ...] = ()
    address: str = ""

    def real(self, cores: Sequence[int]) -> tuple[int, ...]:
        """Return the real cores under declared ones, sorted, each once."""
        return real_of(self.real_cores, cores)


def real_of(real: Sequence[int], cores: Sequence[int]) -> tuple[int, ...]:
    """Return those of a node's real cores that are under declared ones, sorted, each once."""
    if len(cores) == 1:  # as of each rank of a gang, which may have thousands
        return alone(real[cores[0]])
    return tuple(sorted({real[core] for core in cores}))


class Placed(msgspec.Struct, frozen=True, gc=False):
    """One node's part of a run: the node, the lease's share of it, and how many ranks live there."""

    node: Node
    share: Share
    ranks: int = 0

    @property
    def real_cores(self) -> tuple[int, ...]:
        """The real cores of the share."""
        return self.node.real(self.share.cores)


class Run:
    """A lease at work: tasks of one spec, fed one after the other to whatever the runtime put on the lease.

    Attributes:
        id: Number, unique in the block.
        spec: The tasks' common spec.
        placed: The lease's parts; empty for a run that takes nothing (requests to a service). When a run of one node is
            fed again it may have others: more or fewer cores, more or less memory.
    """

    __slots__ = ("id", "placed", "spec")

    def __init__(self, id: int, spec: TaskSpec, placed: tuple[Placed, ...] = ()) -> None:  # noqa: A002 - the field's name
        self.id, self.spec, self.placed = id, spec, placed

    def memory_on(self, host: str) -> int:
        """Return the bytes of memory it leases on a host; 0 where memory is not accounted."""
        if not self.spec.resources.memory:
            return 0
        return round(sum(part.share.memory for part in self.placed if part.node.host == host) * GB)


class Events(Protocol):
    """What a runtime tells the pilot, on the pilot's loop.

    Each task that was given is told once: `done`, `returned`, or with its run `lost`. None of these three is called
    from within `run`, `end` or `cancel` of the runtime (see `runtimes.deferred`), nor about a run that is over, nor
    with nothing in it. The others may be called at any time. Nothing is called once `stop` has returned.
    """

    def done(self, run: int, results: Sequence[Result]) -> None:
        """These tasks of a run ended."""

    def returned(self, run: int, tasks: Sequence[int]) -> None:
        """These tasks of a run had not begun and will not."""

    def lost(self, run: int, error: RhapsodyError, untouched: Sequence[int] = ()) -> None:
        """A run is over: its tasks are lost with `error`, but for the untouched ones, which had not begun."""

    def pieces(self, run: int, pieces: Sequence[Piece], more: Callable[[More], None]) -> None:
        """Tasks of a run gave these before their end; may be told at any time.

        Args:
            run: The run's number.
            pieces: In order, for each task.
            more: Takes what the reader says, to the process that gave them.
        """

    def at_work(
        self,
        run: Run,
        host: str,
        pids: Mapping[str, int],
        on_exceeded: Callable[[MemoryExceeded], None] | None = None,
    ) -> None:
        """These processes of a host work for a run, and those below them; may be told at any time.

        Args:
            run: The run.
            host: The host.
            pids: By name; those that note themselves (see `Context.noting`) need not be named.
            on_exceeded: Told that they hold too much, when the run is none of the pilot's.
        """

    def at_rest(self, run: int) -> None:
        """Nothing works any more for a run that is none of the pilot's."""

    def state(self, runtime: str, state: RuntimeState, detail: str = "") -> None:
        """The runtime's state changed; the detail is for people.

        The pilot says itself what becomes of `start`; a runtime says what happens later: that it was lost, is started
        again, and is back.
        """

    def services(self, services: Sequence[ServiceReport]) -> None:
        """The block's services changed: this is how all of them are."""


def _ignore(_peer: Any, _message: Any) -> None:
    """Nobody is there whom tasks could ask."""


def _nowhere(_values: Mapping[str, int]) -> str:
    """No value lies anywhere."""
    return ""


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """What a runtime gets from the block.

    Attributes:
        nodes: All nodes, by name.
        head: Name of the node the pilot runs on.
        folder: Private folder, on the local disk of each host; short enough for socket paths.
        logs: Folder for log files, which outlive the block.
        python: The interpreter to start backends with.
        environment: Variables that every task of the block gets (services' addresses), shared and growing.
        events: Where to report.
        hosts: The block's other hosts, by name.
        node_launcher: How they are reached: `srun`, `ssh`, ...
        shared_folder: Folder for large results on this host, or "" when the driver does not see it.
        limits_memory: Whether runs are kept to the memory they lease.
        ends_at: Seconds since the epoch at which the block's job ends; None where nobody says.
        gpu_memory: What the GPUs of its nodes have in use.
        nearest: Returns the node that has most of some values, by the sizes of these; "" where that is no matter.
        parents: Told, with the `Peer`, what a task's process says of tasks that the task submits.
    """

    nodes: dict[str, Node]
    head: str
    folder: Path
    logs: Path
    python: str
    environment: dict[str, str]
    events: Events
    hosts: dict[str, Host] = {}
    node_launcher: str = "ssh"
    shared_folder: str = ""
    limits_memory: bool = True
    ends_at: float | None = None
    gpu_memory: GpuMemory = msgspec.field(default_factory=GpuMemory)
    nearest: Callable[[Mapping[str, int]], str] = _nowhere
    parents: Callable[[Any, Any], None] = _ignore

    def noting(self, run: Run) -> list[str]:
        """Return what comes before a program: the memory watch of its host finds it, wherever it is started."""
        limited = self.limits_memory and run.spec.resources.memory
        return noted.argv(str(self.folder), run.id) if limited else []

    def notice(self, run: Run) -> tuple[int, float]:
        """Return the signal that a run's processes get before the block ends, and when; 0 for none."""
        policy = run.spec.policy
        if not policy.signal or self.ends_at is None:
            return 0, 0.0
        return signal.Signals[policy.signal].value, self.ends_at - policy.notice

    def host(self, name: str) -> Host | None:
        """Return where to start a process on a host; None is this host."""
        return self.hosts.get(name)

    @property
    def own_host(self) -> str:
        """Name of the host the pilot runs on."""
        return self.nodes[self.head].host

    def address(self, host: str) -> str:
        """Return what other hosts call a host in the network: the batch system may call it otherwise."""
        return next((node.address for node in self.nodes.values() if node.host == host), "") or host


class Loan(msgspec.Struct, frozen=True):
    """What a service's replica has borrowed.

    Attributes:
        placed: Its parts, one for each node.
        give_back: Gives it back; to be called once.
        lease: The lease's number.
    """

    placed: tuple[Placed, ...]
    give_back: Callable[[], None]
    lease: int = 0


class Leases(Protocol):
    """Where services borrow."""

    def lend(self, borrower: str, wants: TaskSpec, key: str) -> Loan | None:
        """Lend something now, or return None.

        Args:
            borrower: For the record.
            wants: What, and of which nodes; its runtime is the kind of service.
            key: Tasks that ask to be `near` this go to the lease's first node.
        """

    def ask(
        self, borrower: str, wants: TaskSpec, key: str, granted: Callable[[Loan], None], *, resting: Loan | None = None
    ) -> Callable[[], None]:
        """Lend something as soon as there is room; return what withdraws the wish.

        Args:
            borrower: As in `lend`.
            wants: As in `lend`.
            key: As in `lend`.
            granted: Called with it, on the pilot's loop.
            resting: What rests, and is to be restored if that is free first. Then `granted` is called with a loan of
                its number; else with another one, and it rests on.
        """

    def rest(self, loan: Loan) -> Loan:
        """Lend the cores and GPUs of a loan to others; return what is left of it: its memory."""

    def restore(self, resting: Loan) -> Loan | None:
        """Return a loan that rests with exactly the cores and GPUs that it had; None while others have them."""

    def lack(self, wants: TaskSpec, count: int) -> str:
        """Return why the block can never lend so many of these at once, "" when it can.

        What is lent for the block's life is not to be had; all else may be given back.

        Args:
            wants: Each of them.
            count: How many.
        """

    def requests(self, service: str, /) -> int:
        """Return how many requests of tasks for a service wait for their turn."""

    def sought(self, loans: Sequence[Loan], now: float, rest: Collection[int] = ()) -> list[Loan]:
        """Return the fewest of these with which somebody starts who has waited long enough; [] where none helps.

        Args:
            loans: What could be given back, the best to part with first.
            now: The time.
            rest: Numbers of those that would rest, and keep their memory.
        """
