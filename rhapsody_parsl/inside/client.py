"""A process's conversation with the pilot about tasks of its tasks: what it asks, and who waits for an answer."""

import itertools
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError, wait
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, cast

import msgspec

from rhapsody_parsl.annotations.limits import check_name
from rhapsody_parsl.data.names import block_of
from rhapsody_parsl.data.reference import Facts, Ref, taken_by
from rhapsody_parsl.data.reference import packed as packed_references
from rhapsody_parsl.data.staying import Keeping
from rhapsody_parsl.errors import NoParent, TooManyChildren
from rhapsody_parsl.executors.future import complete
from rhapsody_parsl.hosts.process_tree import pin
from rhapsody_parsl.inside.functions import Asked
from rhapsody_parsl.inside.future import ChildFuture
from rhapsody_parsl.inside.values import TaskValues
from rhapsody_parsl.payload import is_plain, open_value, pack_call
from rhapsody_parsl.trace_context import entered
from rhapsody_parsl.wire.child_messages import AskChild, CancelChildren, ChildAnswer
from rhapsody_parsl.wire.failures import from_wire
from rhapsody_parsl.wire.mail_messages import OpenMailbox
from rhapsody_parsl.wire.messages import RESULT, ChildrenEnded, FromParent, Result, SubmitChildren, Task
from rhapsody_parsl.wire.piece_messages import ChildMore, ChildPieces, More
from rhapsody_parsl.wire.shared_memory import discard
from rhapsody_parsl.wire.turn_messages import LendCores, TakeCores
from rhapsody_parsl.wire.value_messages import FindValue, FreeValues, HoldValue
from rhapsody_parsl.worker.line import Here, Line, line

__all__ = ("Client", "client")

_SOON = 0.01
"""Seconds: who waits no longer keeps its cores, for to lend them costs others a millisecond."""


_MOST_HEARD = 64
"""Answers past the pilot that it is told of: it hears of them itself, and mostly before."""


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

    Attributes:
        lends: Whether others have the cores of the task while it waits.
    """

    def __init__(self, line: Line) -> None:
        self._line, self.lends = line, False
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._parent = 0
        self._futures: dict[int, ChildFuture] = {}
        self._orders: dict[int, Future[ChildAnswer]] = {}
        self._admitted: dict[tuple[bytes, bool], _Admitted] = {}
        self._own_values: TaskValues | None = None
        self._name = ""
        self._heard: deque[Result] = deque(maxlen=_MOST_HEARD)

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
                self.lends, self._own_values = False, None
            for future in left.values():
                Future.cancel(future)
        self._line.listen_later()
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
        called = function if asked.above is None else Keeping(function, asked.above)
        return self.put(parent, asked, lambda: pack_call(called, args, kwargs, entered()), keep=keep)

    def put(self, parent: int, asked: Asked, packed: Callable[[], bytes], *, keep: bool) -> ChildFuture:
        """Submit a packed call for a task.

        Args:
            parent: The task.
            asked: What the call asks for.
            packed: Packs it, once it is admitted.
            keep: Whether it lives on when the task ends.

        Raises:
            RhapsodyError: It may not, or can never run.
        """
        if self.enter() != parent:
            raise NoParent("the task that asked for it has finished")
        admitted = self._admission(parent, asked, keep)
        if len(self._futures) >= admitted.most:
            raise TooManyChildren(admitted.most)
        packed_references.clear()
        payload = packed()
        refs = self._checked()
        future = ChildFuture(next(self._numbers), self, asked.streams)
        self._futures[future.number] = future
        takes = tuple((ref.key, ref.size) for ref in refs)
        asker = (self._name, future.number) if self._name else None
        task = Task(future.number, admitted.spec, payload, asked.request, takes, asker)
        self._line.send(SubmitChildren(parent, [task], keep, self._take_heard()))
        return future

    def _take_heard(self) -> tuple[Result, ...]:
        heard, self._heard = self._heard, deque(maxlen=_MOST_HEARD)
        return tuple(heard)

    def over(self) -> None:
        """A task has ended here: what it has heard past the pilot comes before the word of its end."""
        if self._heard:
            self._line.send(SubmitChildren(self._parent, [], heard=self._take_heard()))

    def _checked(self) -> list[Ref]:
        """Return the references of the task's own among the arguments that this thread has packed.

        Raises:
            DataLost: The value of one is gone.
        """
        refs = [ref for ref in packed_references.take() if block_of(ref.key)]
        if refs:
            self.values.check(refs)
        return refs

    def _admission(self, parent: int, asked: Asked, keep: bool) -> _Admitted:
        """Return what the pilot says of a specification; it is asked once per task."""
        known = self._admitted.get((asked.spec, keep))
        if known is None:
            self._name = self._line.hear_answers()
            answer = self._answered(AskChild(next(self._numbers), parent, asked.spec, keep))
            self.lends = answer.lends
            known = self._admitted[asked.spec, keep] = _Admitted(answer.spec, answer.most)
        return known

    def open_mailbox(self, name: str) -> str:
        """Say that the task at work is an agent; return where its checkpoint is.

        Args:
            name: The agent's.

        Raises:
            NoParent: No task runs here.
            RhapsodyError: Another agent has the name.
        """
        return str(self._answered(OpenMailbox(next(self._numbers), self.enter(), name)).facts[0])

    # --- values by reference -------------------------------------------------------------------------------------

    @property
    def values(self) -> TaskValues:
        """Those of the task that runs here."""
        if self._own_values is None:
            self._own_values = TaskValues(self._parent, self._line)
        return self._own_values

    def put_value(self, value: Any, label: str, pinned: bool) -> Ref:
        """Keep a value: the pilot knows of it before there is anything, so that nothing stays of who is killed.

        Args:
            value: Anything that can be pickled.
            label: A name for it, or "".
            pinned: Whether it stays without a handle.

        Raises:
            InvalidTask: Another value has the label, or it is no name.
            NoParent: The task has finished.
            PayloadError: It cannot be serialized.
            Unwritable: There is no room for it.
        """
        if label != "":  # what is no text is refused, too
            check_name("label", label)
        parent, values = self.enter(), self.values
        order, key = next(self._numbers) if label else 0, values.new_key()
        word = HoldValue(parent, key, 0, label, bool(pinned), order, lies=True)
        if order:
            self._answered(word)
        else:
            self._line.send(word)
        try:
            return values.handle(key, values.write(key, value), label)
        except BaseException:
            self._line.send(FreeValues(parent, {key: 1}, deleted=True))
            raise

    def find_value(self, label: str) -> Ref:
        """Return a handle of the value with a label.

        Raises:
            DataLost: None of the block's tasks has put one.
            InvalidTask: It is no name.
        """
        check_name("label", label)
        facts = self._answered(FindValue(next(self._numbers), self.enter(), label)).facts
        return self.values.handle(str(facts[0]), int(facts[1]), label)

    @contextmanager
    def restoring(self) -> Iterator[list[Facts]]:
        """Have the handles that this thread opens be those of a checkpoint; yield them."""
        came = self.values.restored = []
        try:
            with taken_by(self.values):
                yield came
        finally:
            self.values.restored = None

    def _answered(self, ask: AskChild | OpenMailbox | FindValue | HoldValue) -> ChildAnswer:
        """Return an answer.

        Raises:
            RhapsodyError: It is a refusal.
        """
        answer = self._ask(ask)
        if answer.error:
            raise from_wire(answer.error, list(answer.facts))
        return answer

    @contextmanager
    def waiting(self, futures: Collection[Future[Any]], timeout: float | None = None) -> Iterator[None]:
        """Lend the task's cores while it waits for some futures, if that is not over soon.

        Args:
            futures: Of tasks of this process.
            timeout: Seconds that it waits at most.
        """
        soon = _SOON if timeout is None else min(_SOON, timeout)
        lends = self.lends and threading.current_thread() is threading.main_thread()
        if not lends or not wait(futures, soon).not_done or self._line.task() != self._parent:
            yield
            return
        self._line.send(LendCores(self._parent))
        try:
            yield
        finally:
            answer = self._ask(TakeCores(next(self._numbers), self._parent))
            if answer.facts:
                pin(tuple(answer.facts))

    def say(self, message: FromParent) -> None:
        """Tell the pilot something that it does not answer."""
        self._line.send(message)

    def _ask(self, ask: AskChild | OpenMailbox | FindValue | HoldValue | TakeCores) -> ChildAnswer:
        reply = self._orders[ask.order] = Future()
        self._line.send(ask)
        self._line.listen()
        while not reply.done() and self._line.hear():  # a callback of a future runs on the thread that listens
            pass
        return reply.result()

    def cancel(self, number: int) -> None:
        """Nobody wants a task any more."""
        if self._futures.pop(number, None) is not None:
            self._line.send(CancelChildren([number]))

    def ask_more(self, more: More) -> None:
        """Tell a task's process what the reader of its stream has taken."""
        self._line.send(ChildMore(more.task, more.taken, more.size, more.stop))

    def take(self, message: ChildAnswer | ChildrenEnded | ChildPieces) -> None:
        """An answer has come; on the thread that listens."""
        match message:
            case ChildPieces():
                self._take_pieces(message)
            case ChildAnswer(order=order):
                if reply := self._orders.pop(order, None):
                    reply.set_result(message)
            case ChildrenEnded(results=results):
                for result in results:
                    if turn := self._orders.pop(result.id, None):  # it can never come
                        turn.set_result(ChildAnswer(result.id))
                    if not result.told or self._line.task() == self._parent:  # else the pilot is about to end it
                        self._end(self._futures.pop(result.id, None), result)

    def _end(self, future: ChildFuture | None, result: Result) -> None:
        """A task has ended."""
        self._note(future, result)
        if future is not None and future.done():
            future.take(None)  # the task was interrupted while it took this
        with suppress(RuntimeError, InvalidStateError):  # it is being cancelled at this moment
            self._complete(future, result)
        discard(result)

    def _complete(self, future: ChildFuture | None, result: Result) -> None:
        """Give a result to its future; only one that says so carries handles."""
        if result.gives:
            with taken_by(self.values):
                complete(future, result)
        else:
            complete(future, result)

    def take_ahead(self, message: ChildrenEnded) -> bool:
        """Results have come, on the thread of the task that waits, where anything may be raised at any moment.

        Returns:
            Whether all of them were taken; else nothing is lost, and they are to be taken on the thread that listens.
        """
        for result in message.results:
            if result.kind != RESULT or result.gives or result.id in self._orders or not is_plain(result.payload):
                return False
            future = self._futures.get(result.id)
            if future is not None and not future.take(open_value(cast(bytes, result.payload))):
                return False
            self._note(future, result)
            self._futures.pop(result.id, None)
        return True

    def _note(self, future: ChildFuture | None, result: Result) -> None:
        """A result has come; twice does no harm."""
        if result.told and future is not None:
            self._heard.append(msgspec.structs.replace(result, payload=b""))

    def hearing(self, future: ChildFuture) -> AbstractContextManager[None]:
        """Wait in this for the result of a task, which may be there at once."""
        return self._line.waiting_for(future)

    def _take_pieces(self, message: ChildPieces) -> None:
        for piece in message.pieces:
            if future := self._futures.get(piece.id):
                future.tray.put(piece)


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
        Here.heard, Here.ahead, Here.over = _Own.client.take, _Own.client.take_ahead, _Own.client.over
    return _Own.client
