"""Values by reference, at the driver: written, counted, removed when nobody needs them."""

import gc
import itertools
import os
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

from parsl.dataflow.memoization import id_for_memo

from rhapsody_parsl.annotations.limits import check_name
from rhapsody_parsl.data.book import Entry
from rhapsody_parsl.data.handles import Handles
from rhapsody_parsl.data.names import block_of
from rhapsody_parsl.data.packing import opened
from rhapsody_parsl.data.packing import packed as packed_value
from rhapsody_parsl.data.reference import Facts, Here, Ref
from rhapsody_parsl.data.wanted import Wanted
from rhapsody_parsl.errors import DataLost, InvalidTask, PayloadError, RhapsodyError, Unwritable
from rhapsody_parsl.executors.lineage import Lineage
from rhapsody_parsl.hosts import folder, leftovers
from rhapsody_parsl.hosts.data_files import DataFiles, Place
from rhapsody_parsl.hosts.data_place import budget_of
from rhapsody_parsl.hosts.incoming import Incoming
from rhapsody_parsl.wire.value_messages import Copied, DropValues, FromValues, ToValues, ValuesCame, WantValue

__all__ = ("References",)

_FULL, _COLLECTED, _LEAST_COLLECTED = 2, 8, 64 << 20
"""Parts of the budget: that values take, and of new values since, when Python is to look for handles that have gone;
and the least bytes of both. Those in a ring of objects, as Parsl's futures and their records are, go only then: Python
counts objects, and not bytes."""
_WRITER = "driver"
_SHUT_DOWN = "its executor was shut down"
_DELETED = "it was deleted, or nobody held it any more"
_FORKED = "it lies in a block, and this process, which was forked, cannot ask for it"
_LOST = "block {} has stopped, and the value lay there"

T = TypeVar("T")
Say = Callable[[str, ToValues], None]
"""Tells a block something; "" is all of those that do not see the driver's memory everywhere."""
Waiter = Callable[[str], None]
"""Called when a value has come, with "", or with why it has not; on the link's thread."""


@id_for_memo.register(Ref)
def _known_by(ref: Ref, output_ref: bool = False) -> bytes:
    """Return what `cache=True` knows a reference by: its value never changes, and no other executor has its key."""
    return f"Ref {ref.executor} {ref.key}".encode()


class References:
    """The values of an executor; it is the `Owner` of their handles.

    Args:
        memory: The driver's folder in shared memory; "" for none.
        wish: The most bytes of values in each host's memory; negative for a part of what it has.
        say: Tells blocks something; may be called at any time, on any thread.

    Attributes:
        token, where: See `Owner`.
        link_thread: The one on which blocks speak: nobody may wait there for what they are to say.
        place: Where the values of this host lie.
        lineage: How lost ones are made again; None while none can be.

    Raises:
        OSError: No folder can be made.
    """

    def __init__(self, memory: str, wish: int, say: Say) -> None:
        self.token, self.where = secrets.token_hex(8), ""
        self._disk = folder.make()
        self._held = folder.hold(self._disk)
        self.place = Place(self.token, memory, self._disk, _WRITER, budget_of(memory, wish))
        self._say, self._where, self._stopped = say, dict[str, str](), set[str]()
        self.link_thread: int | None = None
        self._wanted: Wanted[Waiter] = Wanted()
        self._files = DataFiles(self.place)
        self._incoming = Incoming(self._files)
        self._handles, self._lock = Handles(self._unneeded), threading.Lock()
        self._new = 0
        self._numbers = itertools.count(1)
        self._closed = False
        self.lineage: Lineage | None = None
        Here.owners[self.token] = self

    # --- what users ask ------------------------------------------------------------------------------------------

    def put(self, value: Any, label: str = "", *, pinned: bool = False) -> Ref:
        """Keep a value.

        Args:
            value: Anything that can be pickled.
            label: A name for it, which no other value has.
            pinned: Whether it stays without a handle.

        Raises:
            InvalidTask: Another value has the label, or it is no name.
            PayloadError: It cannot be serialized.
            Unwritable: There is no room for it, on the disk either.
        """
        if label != "":  # what is no text is refused, too
            check_name("label", label)
        if label and self._handles.ask(lambda book: book.labelled(label)):
            raise InvalidTask("label", label, "another value has it", "Delete that one first, or take another label")
        try:
            pieces = packed_value(value)
        except Exception as problem:
            raise PayloadError("value", f"{type(problem).__name__}: {problem}") from problem
        key = f"put-{next(self._numbers)}"
        try:
            size = self._files.write(key, pieces)
        except OSError as problem:
            raise Unwritable(self._disk, "values kept by reference", str(problem), "TMPDIR") from problem
        ref = self._handle(key, size, label)
        ref.pin(pinned)
        return ref

    def all(self) -> list[Entry]:
        """Return what is known of each value, the oldest first."""
        return self._handles.ask(list)

    def labelled(self, label: str) -> Ref:
        """Return a handle of the value with a label.

        Raises:
            DataLost: None has it.
        """
        entry = self._handles.ask(lambda book: book.labelled(label))
        if entry is None:
            raise DataLost(label, 0, _DELETED)
        return self._handle(entry.key, entry.size, label)

    # --- what handles ask (`Owner`) ------------------------------------------------------------------------------

    def value_of(self, ref: Ref) -> Any:
        """Return the value.

        Raises:
            DataLost: It is gone.
            PayloadError: It cannot be opened here.
        """
        try:
            file = self._files.open(ref.key)
        except FileNotFoundError:
            file = self._brought(ref)
        try:
            return opened(file)
        except Exception as problem:
            raise PayloadError("value", f"{type(problem).__name__}: {problem}") from problem

    def _brought(self, ref: Ref, *, again: bool = True) -> memoryview:
        """Have a value here that lies in a block that does not see this host.

        Raises:
            DataLost: It is gone.
            RhapsodyError: This is the thread that it would come by.
        """
        if self._handles.are_copies:
            raise DataLost(ref.name, ref.size, _FORKED if self._where.get(ref.key) else _DELETED)
        reason = _SHUT_DOWN if self._closed else _DELETED
        if threading.get_ident() == self.link_thread:
            raise RhapsodyError("A future's callback cannot wait for a value of another host: call result() elsewhere.")
        if not self._closed and self._where.get(ref.key):
            answer: Future[str] = Future()
            self._want(ref.key, answer.set_result)
            reason = answer.result()
        try:
            return self._files.open(ref.key)
        except FileNotFoundError:
            if again and (file := self._made_again(ref)):
                return file
            raise DataLost(ref.name, ref.size, reason or _DELETED) from None

    def _made_again(self, ref: Ref) -> memoryview | None:
        """Have a value made again; None where it cannot be.

        Raises:
            DataLost: It cannot be either.
        """
        made: Future[str] = Future()
        if self.lineage is None or not self.lineage.make_again(ref.key, lambda reason, _: made.set_result(reason)):
            return None
        if reason := made.result():
            raise DataLost(ref.name, ref.size, reason)
        try:
            return self._files.open(ref.key)
        except FileNotFoundError:
            return self._brought(ref, again=False)

    def delete(self, ref: Ref) -> None:
        """Remove the value."""
        if self.lineage is not None:
            self.lineage.forget(ref.key)
        if self._handles.ask(lambda book: book.delete(ref.key)):
            self._drop([ref.key])

    def pin(self, ref: Ref, pinned: bool) -> None:
        """Keep the value without a handle, or no more.

        Raises:
            DataLost: It is gone.
        """
        if not self._handles.ask(lambda book: book.pin(ref.key, pinned)):
            raise DataLost(ref.name, ref.size, _DELETED)

    def released(self, key: str) -> None:
        """A handle is gone."""
        self._handles.released(key)

    def arrived(self, facts: Facts) -> Ref:
        """Return a handle of a value that a task has left."""
        if facts.where:
            self._where[facts.key] = facts.where
        return self._handle(facts.key, facts.size, facts.label)

    # --- what the executor tells ---------------------------------------------------------------------------------

    def check(self, refs: Sequence[Ref]) -> None:
        """See that what a task uses is there.

        Raises:
            DataLost: It is not.
        """
        self._handles.check(refs, _DELETED)

    def used(self, future: Future[Any], refs: Sequence[Ref]) -> None:
        """A task uses these until it is over."""
        held = list(refs)
        Future.add_done_callback(future, lambda _: held.clear())

    def expected(self, future: Future[Any], task: int) -> None:
        """A task is to leave its result; what it leaves without telling goes."""
        Future.add_done_callback(future, lambda done: self._over(done, str(task)))

    def _over(self, future: Future[Any], key: str) -> None:
        if future.cancelled() or future.exception() is not None:
            self._drop([key], unfinished=True)

    def _unneeded(self, given: Mapping[str, int]) -> None:
        """The last handles of values are gone; those of a block's own tasks stay while others there need them."""
        self._drop([key for key in given if not block_of(key)])
        for key, count in given.items():
            if block := block_of(key):
                self._say(block, DropValues([key], counts=[count]))
                if block in self._stopped:
                    self._drop([key])

    def unread(self, gives: Sequence[tuple[str, int]]) -> None:
        """Nobody opens a result that carries handles of these."""
        for key, _ in gives:
            self._say(block_of(key), DropValues([key], counts=[1]))

    def _drop(self, keys: Sequence[str], *, unfinished: bool = False) -> None:
        """Remove values, here and in the blocks; also what is not whole of them."""
        for key in keys:
            self._where.pop(key, None)  # first: from then on it is not written here
        self._incoming.drop(keys)
        for key in keys:
            self._files.drop(key)
            if (block := block_of(key)) and not self._closed:
                self._say(block, DropValues([key]))
        if keys and not self._closed:
            self._say("", DropValues(list(keys), unfinished))

    # --- what blocks say, on the link's thread -------------------------------------------------------------------

    def told(self, block: str, message: FromValues) -> None:
        """A block says something of values."""
        match message:
            case WantValue(key=key, sees=sees):
                self._want(key, lambda reason: self._send(block, key, reason, sees), block)
            case ValuesCame(copies=copies, gone=gone, here=here):
                for copied in copies:
                    self._came(copied)
                for key in here:
                    self._answer(key, "")
                for key, reason in gone.items():
                    self._answer(key, reason)

    def _want(self, key: str, waiter: Waiter, asks: str = "") -> None:
        """Have a value here, from the block where it lies; it is not asked itself."""
        if self._files.has(key):
            waiter("")
        elif not (where := self._where.get(key)) or where == asks:
            waiter(_DELETED)
        elif self._waiting(lambda wanted: wanted.ask(key, waiter)):
            self._say(where, WantValue(key))
            if where in self._stopped:  # and may not have heard it
                self._answer(key, _LOST.format(where))

    def _came(self, copied: Copied) -> None:
        if isinstance(copied.payload, bytes) and copied.key in self._where:
            self._incoming.write(copied.key, [copied.payload], partial(self._written, copied.key))
        else:
            self._answer(copied.key, "")

    def _written(self, key: str, problem: str) -> None:
        """A value that has come is here, or is not; its block may have left meanwhile."""
        self._answer(key, problem)
        if block_of(key) in self._stopped and key not in self._handles:
            self._files.drop(key)

    def _answer(self, key: str, reason: str) -> None:
        for waiter in self._waiting(lambda wanted: wanted.take(key)):
            waiter(reason)

    def _send(self, block: str, key: str, reason: str, sees: bool) -> None:
        """Give a block a value that it wants."""
        answer = ValuesCame([], {key: reason or _DELETED})
        if not reason and sees:
            answer = ValuesCame([], here=[key])
        elif not reason:
            try:
                answer = ValuesCame([Copied(key, bytes(self._files.open(key)))])
            except FileNotFoundError:
                pass
            except OSError as problem:  # as no descriptor or no memory is left
                answer = ValuesCame([], {key: str(problem)})
        self._say(block, answer)

    def left(self, block: str) -> None:
        """A block is gone, and with it what was not yet whole there."""
        if block.isdecimal():
            leftovers.remove_tree(os.path.join(self._disk, block))
        self._stopped.add(block)
        for key in self._waiting(Wanted.keys):
            if self._where.get(key) == block and key not in self._incoming:  # else it is here in a moment
                self._answer(key, _LOST.format(block))
        for key in self._files.all():
            if block_of(key) == block and key not in self._handles:
                self._files.drop(key)

    def close(self) -> None:
        """Remove all values; idempotent. Those that are in use can be used on."""
        if not self._closed:
            self._closed = True
            Here.owners.pop(self.token, None)
            for key in self._waiting(Wanted.keys):
                self._answer(key, _SHUT_DOWN)
            leftovers.remove_tree(self._disk)
            os.close(self._held)

    # --- the book ------------------------------------------------------------------------------------------------

    def _handle(self, key: str, size: int, label: str) -> Ref:
        self._handles.ask(lambda book: book.hold(key, size, label))
        ref = Ref(self, key, size, label)
        self._new += size
        if self._new > max(self.place.budget // _COLLECTED, _LEAST_COLLECTED):
            self._new = 0
            full = max(self.place.budget // _FULL, _LEAST_COLLECTED)
            if self._handles.ask(lambda book: book.size) > full:  # else there is time: a look takes 50 ms
                gc.collect()
        return ref

    def _waiting(self, question: Callable[[Wanted[Waiter]], T]) -> T:
        with self._lock:
            return question(self._wanted)
