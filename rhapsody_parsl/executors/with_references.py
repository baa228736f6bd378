"""Data by reference, as users of an executor see it."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from tempfile import gettempdir
from threading import get_ident
from typing import Any, NamedTuple

import msgspec

from rhapsody_parsl.annotations.policy import PolicyValue
from rhapsody_parsl.config import BlockConfig
from rhapsody_parsl.data.book import Entry
from rhapsody_parsl.data.reference import Ref, packed
from rhapsody_parsl.errors import Unwritable
from rhapsody_parsl.executors.blocks import Block
from rhapsody_parsl.executors.future import complete
from rhapsody_parsl.executors.lineage import Lineage
from rhapsody_parsl.executors.references import References
from rhapsody_parsl.executors.running import not_running
from rhapsody_parsl.executors.told import Told
from rhapsody_parsl.hosts.probe import GB
from rhapsody_parsl.wire.messages import Result, Task
from rhapsody_parsl.wire.value_messages import FromValues, ToValues

__all__ = ("Packed", "WithReferences")


class Packed(NamedTuple):
    """A call.

    Attributes:
        payload: As bytes.
        refs: The references among its arguments.
    """

    payload: bytes
    refs: Sequence[Ref]


class WithReferences(Told):
    """The part of the executor that keeps values, so that handles travel instead of them."""

    reference_memory: int | float | None
    _values: References | None = None
    _lineage: Lineage | None = None

    def put(self, value: Any, label: str = "", *, pinned: bool = False) -> Ref:
        """Keep a value; apps that get its handle as an argument, or in one, get the value.

        Args:
            value: Anything that can be pickled. Arrays of NumPy are read in place, and cannot be written.
            label: A name for it, which no other value has; `reference` finds it by that.
            pinned: Whether it stays when its last handle has gone.

        Returns:
            The handle. The value goes when no handle is left and no unfinished task uses it.

        Raises:
            InvalidTask: Another value has the label.
            PayloadError: The value cannot be serialized.
            Unwritable: There is no room for it, on the disk either.
            RhapsodyError: The executor is not running.
        """
        return self._running_values().put(value, label, pinned=pinned)

    def reference(self, label: str) -> Ref:
        """Return a handle of the value with a label.

        Raises:
            DataLost: None has it.
            RhapsodyError: The executor is not running.
        """
        return self._running_values().labelled(label)

    def references(self) -> list[Entry]:
        """Return what is known of each value that is kept, the oldest first.

        Raises:
            RhapsodyError: The executor is not running.
        """
        return self._running_values().all()

    def _running_values(self) -> References:
        if self._values is None or self._closed:
            raise not_running()
        return self._values

    def _open_values(self) -> None:
        """Make room for values.

        Raises:
            Unwritable: There is none.
        """
        try:
            self._values = References(self._shared.path, self._wish, self._say_of_values)
        except OSError as problem:
            self._shared.close()
            raise Unwritable(gettempdir(), "values kept by reference", str(problem), "TMPDIR") from problem

    @property
    def _wish(self) -> int:
        """The most bytes of values in each host's memory, as the user says; negative for no word."""
        return -1 if self.reference_memory is None else round(self.reference_memory * GB)

    def _say_of_values(self, block: str, message: ToValues) -> None:
        if self._link is not None:
            self._link.tell_of_values(block, message)

    def valued(self, block: Block, message: FromValues) -> None:
        """A block says something of values kept by reference."""
        if self._values is not None:
            self._values.told(block.id, message)

    def _close_values(self) -> None:
        if self._lineage is not None:
            self._lineage.close("its executor was shut down")
        if self._values is not None:
            self._values.close()
        self._shared.close()

    def _block_config(self, folder: Path, addresses: Sequence[str], token: str) -> BlockConfig:
        config = super()._block_config(folder, addresses, token)
        place = self._running_values().place
        return msgspec.structs.replace(config, values=(place.token, place.disk, self._wish))

    def _with_references(self, pack: Callable[[], bytes]) -> Packed:
        """Return a call as it is sent.

        Raises:
            DataLost: The value of one is gone.
            PayloadError: It cannot be serialized.
        """
        packed.clear()  # somebody may have pickled some for themselves
        payload = pack()
        return Packed(payload, self._check_references() if packed.refs else ())

    def _check_references(self) -> list[Ref]:
        """Return the references among the arguments that this thread has packed.

        Raises:
            DataLost: The value of one is gone.
        """
        refs = packed.take()
        self._running_values().check(refs)
        return refs

    def _note_references(self, future: Future[Any], task: Task, refs: Sequence[Ref], policy: PolicyValue) -> None:
        """A task is about to be sent that takes references, or gives one."""
        values, gives = self._running_values(), policy.result == "reference"
        if refs:
            values.used(future, refs)
        if gives:
            values.expected(future, task.id)
        remakes = gives and policy.on_loss == "rerun"
        if remakes and self._lineage is None and self._link is not None:
            self._lineage = values.lineage = Lineage(self._link.put, self.tasks.__contains__, self._complete)
        if self._lineage is not None:
            self._lineage.submitted(task, remakes)

    def _complete(self, result: Result) -> None:
        future = self.tasks.pop(result.id, None)
        if result.gives and (future is None or future.done()):
            self._running_values().unread(result.gives)
        complete(future, result)

    def joined(self, block: Block) -> None:
        """A block is there, and speaks on this thread."""
        super().joined(block)
        if self._values is not None:
            self._values.link_thread = get_ident()

    def left(self, block: Block) -> None:
        """A block is gone, and what was not yet whole there."""
        super().left(block)
        if self._values is not None:
            self._values.left(block.id)
