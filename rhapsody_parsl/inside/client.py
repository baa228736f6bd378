"""A process's conversation with the pilot about tasks of its tasks: what it asks, and who waits for an answer."""

import itertools
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import Any

import msgspec

from rhapsody_parsl.errors import NoParent, TooManyChildren
from rhapsody_parsl.executors.future import complete
from rhapsody_parsl.inside.functions import Asked
from rhapsody_parsl.payload import pack_call
from rhapsody_parsl.trace_context import entered
from rhapsody_parsl.wire.child_messages import AskChild, CancelChildren, ChildAnswer
from rhapsody_parsl.wire.failures import from_wire
from rhapsody_parsl.wire.messages import ChildrenEnded, SubmitChildren, Task, ToParent
from rhapsody_parsl.wire.shared_memory import discard
from rhapsody_parsl.worker.line import Here, Line, line

__all__ = ("ChildFuture", "Client", "client")


class ChildFuture(Future[Any]):
    """The future of a task that a task submitted; `cancel` works on queued and on running tasks."""

    def __init__(self, number: int, client: "Client") -> None:
        super().__init__()
        self.number = number
        self._client = client

    def cancel(self) -> bool:
        """Cancel the task, queued or running; True unless it has ended."""
        if self.cancelled():
            return True
        if not super().cancel():
            return False
        with suppress(RuntimeError):  # its result comes at this moment, and finds it cancelled
            self.set_running_or_notify_cancel()  # else `concurrent.futures.wait` does not see it
        self._client.cancel(self.number)
        return True


class _Admitted(msgspec.Struct, frozen=True):
    """What the pilot has said of a specification.

    Attributes:
        spec: As the block wants it.
        most: How many unfinished tasks there may be.
    """

    spec: bytes
    most: int


class Client:
    """That of this process, for one task after the other.

    Args:
        line: To the pilot.
    """

    def __init__(self, line: Line) -> None:
        self._line = line
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._parent = 0
        self._futures: dict[int, ChildFuture] = {}
        self._orders: dict[int, Future[ChildAnswer]] = {}
        self._admitted: dict[tuple[bytes, bool], _Admitted] = {}

    def enter(self) -> int:
        """Return the task that runs here; of another one that ran before nobody waits any more.

        Raises:
            NoParent: None does.
        """
        parent = self._line.task()
        if not parent:
            raise NoParent("no task runs in this process now")
        if parent != self._parent:
            with self._lock:
                left, self._futures, self._admitted, self._parent = self._futures, {}, {}, parent
            for future in left.values():
                Future.cancel(future)
        self._line.listen()
        return parent

    def submit(
        self, parent: int, asked: Asked, function: Callable[..., Any], *,
        args: Sequence[Any], kwargs: Mapping[str, Any], keep: bool,
    ) -> ChildFuture:  # fmt: skip
        """Submit a task of a task.

        Args:
            parent: That task.
            asked: What the call asks for.
            function: The function.
            args: Positional arguments.
            kwargs: Keyword arguments.
            keep: Whether it lives on when the task ends.

        Raises:
            RhapsodyError: It may not, or can never run.
        """
        if self.enter() != parent:
            raise NoParent("the task that asked for it has finished")
        admitted = self._admission(parent, asked, keep)
        if len(self._futures) >= admitted.most:
            raise TooManyChildren(admitted.most)
        payload = pack_call(function, args, kwargs, entered())
        future = ChildFuture(next(self._numbers), self)
        self._futures[future.number] = future
        self._line.send(SubmitChildren(parent, [Task(future.number, admitted.spec, payload, asked.request)], keep))
        return future

    def _admission(self, parent: int, asked: Asked, keep: bool) -> _Admitted:
        """Return what the pilot says of a specification; it is asked once per task."""
        known = self._admitted.get((asked.spec, keep))
        if known is None:
            answer = self._ask(AskChild(next(self._numbers), parent, asked.spec, keep))
            if answer.error:
                raise from_wire(answer.error, list(answer.facts))
            known = self._admitted[asked.spec, keep] = _Admitted(answer.spec, answer.most)
        return known

    def _ask(self, ask: AskChild) -> ChildAnswer:
        reply = self._orders[ask.order] = Future()
        self._line.send(ask)
        while not reply.done() and self._line.hear():  # a callback of a future runs on the thread that listens
            pass
        return reply.result()

    def cancel(self, number: int) -> None:
        """Nobody wants a task any more."""
        if self._futures.pop(number, None) is not None:
            self._line.send(CancelChildren([number]))

    def take(self, message: ToParent) -> None:
        """An answer has come; on the thread that listens."""
        match message:
            case ChildAnswer(order=order):
                if reply := self._orders.pop(order, None):
                    reply.set_result(message)
            case ChildrenEnded(results=results):
                for result in results:
                    with suppress(RuntimeError, InvalidStateError):  # it is being cancelled at this moment
                        complete(self._futures.pop(result.id, None), result)
                    discard(result)


class _Own:
    """That of this process."""

    client: Client | None = None
    line: Line | None = None


def client() -> Client:
    """Return that of this process.

    Raises:
        NoParent: No task runs in it.
    """
    here = line()
    if here is None:
        raise NoParent("this process is none that a block started for a task")
    if _Own.client is None or _Own.line is not here:
        _Own.client, _Own.line = Client(here), here
        Here.heard = _Own.client.take
    return _Own.client
