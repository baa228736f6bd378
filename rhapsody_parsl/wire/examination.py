"""What the driver asks a pilot when a person wants to know what waits, and why; nothing of it travels unasked."""

import msgspec

from rhapsody_parsl.wire.states import TaskState
from rhapsody_parsl.wire.tagged import Tagged

__all__ = ("Examine", "Examined", "LaneReport", "TaskPlace")


class LaneReport(msgspec.Struct, frozen=True, kw_only=True):
    """Tasks of a block that are alike.

    Attributes:
        app: Name of their app; "" for several apps.
        runtime: Whose they are.
        service: The service that they ask, or "".
        asks: What each takes, for people.
        waiting: How many wait.
        running: How many run.
        prefetched: How many lie behind a running one.
        oldest: Seconds that the oldest has waited; 0 when none waits.
        why: Why the first of them has not started, for people; "" when none waits.
    """

    app: str
    runtime: str
    service: str = ""
    asks: str = ""
    waiting: int = 0
    running: int = 0
    prefetched: int = 0
    oldest: float = 0.0
    why: str = ""


class TaskPlace(msgspec.Struct, frozen=True, kw_only=True):
    """Where a task of a block is.

    Attributes:
        task: Its number.
        state: Its state.
        app: Name of its app.
        runtime: Whose it is.
        nodes: Those that it uses; none while it waits, and for a request.
        worker: Name of the process that has it, by which its log is called; "" where nobody says.
    """

    task: int
    state: TaskState
    app: str = ""
    runtime: str = ""
    nodes: tuple[str, ...] = ()
    worker: str = ""


class Examine(Tagged, frozen=True):
    """Say what waits and why; the answer is an `Examined`.

    Attributes:
        question: A number for the answer.
        tasks: Those of which to say where they are.
    """

    question: int
    tasks: tuple[int, ...] = ()


class Examined(Tagged, frozen=True):
    """What waits in a block and why, and where some tasks are."""

    question: int
    lanes: tuple[LaneReport, ...] = ()
    places: tuple[TaskPlace, ...] = ()
