"""How a task's process speaks with the pilot about tasks of its own: over the line that its work came by.

A fresh process has no such line. It opens one when its task first asks, by what a variable says.
"""

import json
import os
import secrets
import threading
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, ClassVar, Protocol

from rhapsody_parsl.wire.channel import Spoke
from rhapsody_parsl.wire.child_messages import ChildAnswer
from rhapsody_parsl.wire.messages import ChildrenEnded, Deliver, FromParent, ToBackend, ToParent
from rhapsody_parsl.wire.piece_messages import ChildPieces
from rhapsody_parsl.wire.value_messages import OfValues, ValueHere
from rhapsody_parsl.worker.inbox import Awaited, Inbox, Listener
from rhapsody_parsl.worker.own_task import VARIABLE, OwnTask

if TYPE_CHECKING:
    from concurrent.futures import Future

__all__ = ("Here", "Line", "WorkerLine", "join", "line", "over", "take", "variable")


class Line(Protocol):
    """What the process of a task has of the pilot."""

    def task(self) -> int:
        """Return the number of the task at work, 0 while there is none."""

    def send(self, message: FromParent | OfValues) -> None:
        """Say something; any thread may."""

    def post(self, message: FromParent) -> None:
        """Say something without ever waiting for another thread: a handle may go within anything."""

    def hear_answers(self) -> str:
        """Hear what processes of this host answer past the pilot; return the name under which they do, or ""."""

    def listen(self) -> None:
        """See that answers are heard from now on, until the task has finished."""

    def listen_later(self) -> None:
        """The same, but a task that waits at once hears the answer itself."""

    def hear(self) -> bool:
        """Wait for an answer and take it, on the thread that listens; False on any other."""

    def waiting_for(self, awaited: Awaited) -> AbstractContextManager[None]:
        """Wait in this for something that the pilot says; the main thread may hear it itself, before."""


class Here:
    """That of this process.

    Attributes:
        line: None where there is none.
        pid: Of the process that has it: a child that it forked has none.
        heard: Takes the answers about tasks.
        ahead: The same for those that do no harm twice; False for the others.
        over: Told when a task has ended here; None where none has ever asked the pilot.
        delivered: Takes the messages for an agent; None where there is none.
        values: What waits for values, by order.
        endpoint: Where the pilot is, or its agent on this host: the hub's.
    """

    line: Line | None = None
    pid = 0
    heard: Callable[[ChildAnswer | ChildrenEnded | ChildPieces], None] | None = None
    ahead: Callable[[ChildrenEnded], bool] | None = None
    over: Callable[[], None] | None = None
    delivered: Callable[[Deliver], None] | None = None
    values: ClassVar["dict[int, Future[ValueHere]]"] = {}
    endpoint = ""


def join(line: Line) -> None:
    """This process has a line to the pilot."""
    Here.line, Here.pid = line, os.getpid()


def line() -> Line | None:
    """Return the line of this process, None for one that no task runs in."""
    if OwnTask.stated and OwnTask.pid == os.getpid():
        stated, OwnTask.stated = OwnTask.stated, ""
        join(_OwnLine(*json.loads(stated)))
    return Here.line if Here.pid == os.getpid() else None


def variable(task: int) -> dict[str, str]:
    """Return what tells a fresh process of a task where the pilot is; nothing where this one does not know."""
    return {VARIABLE: json.dumps([task, Here.endpoint])} if Here.endpoint else {}


def take(message: ToParent | ValueHere) -> None:
    """An answer has come; one that nobody waits for any more is passed over."""
    if isinstance(message, Deliver):
        if Here.delivered is not None:
            Here.delivered(message)
    elif isinstance(message, ValueHere):
        if (answered := Here.values.pop(message.order, None)) is not None:
            answered.set_result(message)
    elif Here.heard is not None:
        Here.heard(message)


def take_ahead(message: ToBackend) -> bool:
    """Take a message that may be taken twice; False for any other, which stays untaken."""
    return isinstance(message, ChildrenEnded) and Here.ahead is not None and Here.ahead(message)


def over() -> None:
    """A task has ended here: the pilot is told first what it may not know of the task's own."""
    if Here.over is not None:
        Here.over()


class WorkerLine:
    """That of a resident process, which hears of its work over the same.

    Args:
        spoke: To the pilot.
        inbox: Knows which task is at work, and who listens.
    """

    def __init__(self, spoke: Spoke, inbox: Inbox) -> None:
        self._spoke, self._inbox = spoke, inbox

    def task(self) -> int:
        """Return the number of the task at work, 0 while there is none."""
        return self._inbox.at_work_on()

    def send(self, message: FromParent | OfValues) -> None:
        """Say something; any thread may."""
        self._spoke.send(message)

    def post(self, message: FromParent) -> None:
        """Say something without ever waiting for another thread."""
        self._spoke.post(message)

    def hear_answers(self) -> str:
        """Hear what processes of this host answer past the pilot; return the name under which they do, or ""."""
        return self._spoke.hear_answers()

    def listen(self) -> None:
        """See that answers are heard from now on, until the task has finished."""
        self._inbox.listen_soon()

    def listen_later(self) -> None:
        """The same, but a task that waits at once hears the answer itself."""
        self._inbox.listen_later()

    def waiting_for(self, awaited: Awaited) -> AbstractContextManager[None]:
        """Wait in this for something that the pilot says; the main thread may hear it itself, before."""
        if Here.pid != os.getpid() or isinstance(threading.current_thread(), Listener):
            return nullcontext()  # a child that was forked hears nothing, and must not take what is its parent's
        if threading.current_thread() is not threading.main_thread():
            return self._inbox.waiting_beside()
        self._inbox.wait_for(awaited)
        return nullcontext()

    def hear(self) -> bool:
        """Wait for an answer and take it, on the thread that listens; False on any other."""
        return self._inbox.hear_on_listener()


class _OwnLine:
    """That of a fresh process, made when its task first asks.

    Args:
        task: The task's number.
        endpoint: The hub's.
    """

    def __init__(self, task: int, endpoint: str) -> None:
        self._task = task
        self._spoke = Spoke(endpoint, f"task-{task}-{secrets.token_hex(4)}")
        self._thread = threading.Thread(target=self._listen, name="answers of the pilot", daemon=True)
        self._thread.start()

    def task(self) -> int:
        """Return the number of the task."""
        return self._task

    def send(self, message: FromParent | OfValues) -> None:
        """Say something; any thread may."""
        self._spoke.send(message)

    def post(self, message: FromParent) -> None:
        """Say something without ever waiting for another thread."""
        self._spoke.post(message)

    def hear_answers(self) -> str:
        """Hear what processes of this host answer past the pilot; return the name under which they do, or ""."""
        return self._spoke.hear_answers()

    def listen(self) -> None:
        """Do nothing: a thread listens."""

    listen_later = listen

    def waiting_for(self, _awaited: Awaited) -> AbstractContextManager[None]:
        """Do nothing: a thread listens."""
        return nullcontext()

    def hear(self) -> bool:
        """Wait for an answer and take it, on the thread that listens; False on any other."""
        return threading.current_thread() is self._thread and self._hear()

    def _listen(self) -> None:
        try:
            while self._hear():
                pass
        except BaseException:  # noqa: BLE001 - whatever it is
            traceback.print_exc()
        finally:
            os._exit(1)  # else the task would wait for answers without an end

    def _hear(self) -> bool:
        message = self._spoke.receive()
        if isinstance(message, ToParent | ValueHere):
            take(message)
        return message is not None
