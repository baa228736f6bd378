"""Values that a task keeps in its block, or has of its own tasks: the task's handles of them."""

import itertools
import os
from collections.abc import Mapping, Sequence
from typing import Any

from rhapsody_parsl.data.handles import Handles
from rhapsody_parsl.data.names import of_block
from rhapsody_parsl.data.packing import packed as packed_value
from rhapsody_parsl.data.reference import Facts, Ref
from rhapsody_parsl.errors import NoParent, PayloadError, Unwritable
from rhapsody_parsl.hosts.data_files import DataFiles, Place
from rhapsody_parsl.wire.value_messages import FreeValues, HoldValue, PinValue
from rhapsody_parsl.worker import references
from rhapsody_parsl.worker.line import Line

__all__ = ("TaskValues",)

_DELETED = "it was deleted, or the task that held it has ended"

_numbers = itertools.count(1)


class TaskValues:
    """Those of one task; it is the `Owner` of its handles.

    The pilot counts who needs a value. It is told when the last handle here has gone, and sees itself when the task
    ends, and what its result carries.

    Args:
        parent: The task's number.
        line: To the pilot.

    Attributes:
        token, where: See `Owner`.
        restored: Takes what comes of a checkpoint while that is opened: the pilot is to know of it. Else None.

    Raises:
        NoParent: This process sees no values.
    """

    def __init__(self, parent: int, line: Line) -> None:
        self._parent, self._line = parent, line
        self._files, place = _here()
        self.token, self.where, self._disk = place.token, place.writer, place.disk
        self._handles = Handles(self._unneeded)
        self.restored: list[Facts] | None = None

    def new_key(self) -> str:
        """Return a key that no value has."""
        return of_block(self.where, f"put-{self._parent}-{os.getpid()}-{next(_numbers)}")

    def write(self, key: str, value: Any) -> int:
        """Write a value of which the pilot knows; return its size in bytes.

        Raises:
            PayloadError: It cannot be serialized.
            Unwritable: There is no room for it, on the disk either.
        """
        try:
            pieces = packed_value(value)
        except Exception as problem:
            raise PayloadError("value", f"{type(problem).__name__}: {problem}") from problem
        try:
            return self._files.write(key, pieces, str(self._parent))
        except OSError as problem:
            raise Unwritable(self._disk, "values kept by reference", str(problem), "TMPDIR") from problem

    def handle(self, key: str, size: int, label: str = "") -> Ref:
        """Return a handle of which the pilot knows."""
        self._handles.ask(lambda book: book.hold(key, size, label))
        return Ref(self, key, size, label)

    def check(self, refs: Sequence[Ref]) -> None:
        """See that what a task is to take is held here.

        Raises:
            DataLost: It is not.
        """
        self._handles.check(refs, _DELETED)

    # --- what handles ask (`Owner`) ------------------------------------------------------------------------------

    def value_of(self, ref: Ref) -> Any:
        """Return the value.

        Raises:
            DataLost: It is gone.
        """
        self.check([ref])
        return references.opened(Facts(self.token, ref.key, ref.size, ref.label))

    def delete(self, ref: Ref) -> None:
        """Remove the value."""
        if self._handles.ask(lambda book: book.delete(ref.key)):
            self._line.send(FreeValues(self._parent, {ref.key: 1}, deleted=True))

    def pin(self, ref: Ref, pinned: bool) -> None:
        """Keep the value without a handle, or no more.

        Raises:
            DataLost: It is gone.
        """
        self.check([ref])
        self._line.send(PinValue(ref.key, bool(pinned)))

    def released(self, key: str) -> None:
        """A handle is gone."""
        self._handles.released(key)

    def arrived(self, facts: Facts) -> Ref:
        """Return a handle of a value that a task of the task's has given it, or that an agent had before."""
        if self.restored is not None:
            self.restored.append(facts)
            self._line.send(HoldValue(self._parent, facts.key, facts.size, facts.label))
        return self.handle(facts.key, facts.size, facts.label)

    def _unneeded(self, given: Mapping[str, int]) -> None:
        """The last handles of values are gone: told without waiting, for that may be within anything."""
        if self._line.task() == self._parent:
            self._line.post(FreeValues(self._parent, dict(given)))


def _here() -> tuple[DataFiles, Place]:
    files, place = references.files_here(), references.place_here()
    if files is None or place is None:
        raise NoParent("this process sees no values of its block")
    return files, place
