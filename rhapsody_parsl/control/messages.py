"""What people ask of a running executor, and what it answers; JSON, one request per connection.

A task's number is the executor's: `tasks` lists them.
"""

from typing import Literal

import msgspec

from rhapsody_parsl.errors import RhapsodyError
from rhapsody_parsl.wire.totals import Totals
from rhapsody_parsl.wire.views import ExecutorView, ServiceStatus

__all__ = (
    "Answer", "AppTasks", "CancelTasks", "Cancelled", "DrainBlocks", "Draining", "Files", "FindLogs", "ListTasks",
    "OrderService", "Refused", "Request", "RunFacts", "RunView", "ServiceAction", "Services", "TaskTable", "TaskView",
    "View", "Wait", "refusal",
)  # fmt: skip

ServiceAction = Literal["status", "start", "stop", "scale", "restart"]


# --- requests --------------------------------------------------------------------------------------------------------


class _Request(msgspec.Struct, frozen=True, kw_only=True, tag=True, forbid_unknown_fields=True):
    pass


class View(_Request, frozen=True):
    """How is everything?"""


class ListTasks(_Request, frozen=True):
    """Which tasks are there, what waits, and why?

    Attributes:
        app: Only of this app; "" for all.
        most: How many to list one by one.
    """

    app: str = ""
    most: int = 0


class CancelTasks(_Request, frozen=True):
    """Cancel tasks.

    Attributes:
        tasks: Their numbers.
        app: All of this app, "" for none.
    """

    tasks: tuple[int, ...] = ()
    app: str = ""


class DrainBlocks(_Request, frozen=True):
    """Have blocks finish what they have begun, and leave.

    Attributes:
        blocks: Their numbers; none for all.
    """

    blocks: tuple[str, ...] = ()


class OrderService(_Request, frozen=True):
    """Have a service otherwise, or ask how it is.

    Attributes:
        name: The service's; "" for all, when only asked.
        action: What to do.
        replicas: For `scale`: at least and at most.
        drain: Whether replicas that go finish what they have begun.
    """

    name: str = ""
    action: ServiceAction = "status"
    replicas: tuple[int, int] = (1, 1)
    drain: bool = True


class FindLogs(_Request, frozen=True):
    """Where are the logs of a task, a service, the front door, a node or a block?"""

    of: str


Request = View | ListTasks | CancelTasks | DrainBlocks | OrderService | FindLogs


# --- answers ---------------------------------------------------------------------------------------------------------


class _Answer(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    pass


class RunFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Where an executor is.

    Attributes:
        label: Its name.
        host: Where its process is.
        pid: Its process.
        folder: Its folder of the run directory.
        version: Of the package.
        began: Seconds since the epoch at which it started.
    """

    label: str
    host: str
    pid: int
    folder: str
    version: str
    began: float


class RunView(_Answer, frozen=True):
    """How everything is.

    Attributes:
        run: Where the executor is.
        view: As `executor.view()` returns it.
        undelivered: Tasks that wait for a block.
        jobs: State of the provider's job of each block, by the block's number.
        now: Seconds since the epoch.
    """

    run: RunFacts
    view: ExecutorView
    undelivered: int
    jobs: dict[str, str]
    now: float


class AppTasks(Totals, frozen=True, kw_only=True):
    """The tasks of an app.

    Attributes:
        app: Its name.
        undelivered: Wait for a block.
        waiting: Wait in a block.
        running: Run, as far as the pilots know.
        prefetched: Lie behind a running one.
    """

    app: str
    undelivered: int = 0
    waiting: int = 0
    running: int = 0
    prefetched: int = 0


class Wait(msgspec.Struct, frozen=True, kw_only=True):
    """Tasks that wait for the same.

    Attributes:
        app: Their app; "" for several.
        block: Where they wait; "" while they wait for a block.
        tasks: How many.
        asks: What each takes, for people.
        oldest: Seconds that the oldest has waited in the block; 0 where nobody says.
        why: Why, for people.
        service: The service that they ask, or "".
    """

    app: str
    block: str
    tasks: int
    asks: str
    oldest: float
    why: str
    service: str = ""


class TaskView(msgspec.Struct, frozen=True, kw_only=True):
    """A task.

    Attributes:
        task: Its number.
        app: Its app.
        state: `undelivered`, or its state in a block.
        runtime: Whose it is, when that is known.
        block: Where it is; "" for none.
        nodes: Those that it uses.
        worker: Name of the process that has it, by which its log is called.
    """

    task: int
    app: str
    state: str
    runtime: str = ""
    block: str = ""
    nodes: tuple[str, ...] = ()
    worker: str = ""


class TaskTable(_Answer, frozen=True):
    """The tasks that are there, and what waits for what.

    Attributes:
        apps: By app, the one with the most tasks first.
        waits: What waits for what, the most tasks first.
        tasks: Some of them one by one, the oldest first.
        silent: Blocks that did not answer in time.
    """

    apps: tuple[AppTasks, ...]
    waits: tuple[Wait, ...]
    tasks: tuple[TaskView, ...] = ()
    silent: tuple[str, ...] = ()


class Cancelled(_Answer, frozen=True):
    """These tasks are cancelled; `missing` are none that have not ended."""

    tasks: tuple[int, ...]
    missing: tuple[int, ...] = ()


class Draining(_Answer, frozen=True):
    """These blocks take no more tasks, and leave when they have finished what they have begun."""

    blocks: tuple[str, ...]


class Services(_Answer, frozen=True):
    """How services are."""

    services: tuple[ServiceStatus, ...]


class Files(_Answer, frozen=True):
    """Logs that are there, as paths.

    Attributes:
        of: What they are of, for people.
        files: Their paths.
    """

    of: str
    files: tuple[str, ...]


class Refused(_Answer, frozen=True):
    """It cannot be done: one of our errors, as its name and its sentence."""

    error: str
    sentence: str


Answer = RunView | TaskTable | Cancelled | Draining | Services | Files | Refused


def refusal(error: RhapsodyError) -> Refused:
    """Return an error of ours as an answer."""
    return Refused(error=type(error).__name__, sentence=str(error))
