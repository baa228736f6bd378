"""References in the process of a task: what it takes becomes the value, and what it gives stays on its host."""

import os
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

from rhapsody_parsl.data.layout import Buffer, laid_out
from rhapsody_parsl.data.names import block_of, of_block
from rhapsody_parsl.data.packing import apart
from rhapsody_parsl.data.packing import opened as opened_file
from rhapsody_parsl.data.reference import Facts, Left, Ref, packed
from rhapsody_parsl.data.staying import Stays
from rhapsody_parsl.errors import DataLost, PayloadError
from rhapsody_parsl.hosts.data_files import DataFiles, Place
from rhapsody_parsl.hosts.data_pool import LEAST
from rhapsody_parsl.hosts.mark import folder_of
from rhapsody_parsl.payload import not_opened, pack_result
from rhapsody_parsl.worker import afterwards, spare
from rhapsody_parsl.worker.line import Here
from rhapsody_parsl.worker.own_task import OwnTask

__all__ = ("files_here", "given", "left", "opened", "place_here")

_OF_THE_BLOCK = 1 << 48
"""Numbers of tasks from here on are a block's own; the driver's are of all blocks."""


class _Host:
    """Where values lie on this host; read when the first is wanted.

    Attributes:
        place: None where none do.
        files: There.
    """

    place: Place | None = None
    files: DataFiles | None = None


def files_here() -> DataFiles | None:
    """Return where values lie on this host; None where none do, or in no task's process."""
    if _Host.files is None and (endpoint := Here.endpoint or OwnTask.endpoint):
        _Host.place = Place.told(folder_of(endpoint))
        _Host.files = _Host.place and DataFiles(_Host.place)
    return _Host.files


def place_here() -> Place | None:
    """Return the same place; known once `files_here` has looked."""
    return _Host.place


def _kept(files: DataFiles, key: str, pickle: Sequence[Buffer], buffers: Sequence[memoryview]) -> int:
    """Have an array that was made in place be the value; return its size, 0 where it was not."""
    module = sys.modules.get("rhapsody_parsl.worker.in_place")
    size: int = module.kept(files, key, pickle, buffers) if module else 0
    return size


def opened(facts: Facts) -> Any:
    """Return the value of a reference.

    Raises:
        DataLost: It is not there.
        PayloadError: It cannot be opened, which runs the user's code; the cause is what that raised.
    """
    files = files_here()
    if files is None or _Host.place is None or _Host.place.token != facts.token:
        raise DataLost(facts.name, facts.size, f"it is kept where host {os.uname().nodename} does not see it")
    try:
        file = files.open(facts.key)
    except FileNotFoundError:
        from rhapsody_parsl.worker.distant import brought  # noqa: PLC0415 - few tasks lack a value

        file = brought(files, facts)
    afterwards.see(file)
    try:
        return opened_file(file)
    except DataLost:  # of a reference within
        raise
    except Exception as problem:
        raise not_opened(f"value of reference {facts.name}", problem) from problem


def left(task: int, stays: Stays) -> Any:
    """Leave a task's result on this host; return what travels instead: the result itself where it is to.

    Raises:
        PayloadError: It cannot be serialized, or there is no room for it.
    """
    files, place = files_here(), _Host.place
    if files is None or place is None:
        return stays.value
    try:
        pickle, buffers = apart(stays.value)
        if sum(map(len, (*pickle, *buffers))) <= stays.above:
            return stays.value
        number = task or OwnTask.number
        key = of_block(place.writer, str(number)) if number >= _OF_THE_BLOCK else str(number)
        size = _kept(files, key, pickle, buffers) or spare.written(files, key, laid_out(pickle, buffers), str(number))
        if place.role == "host":
            from rhapsody_parsl.worker.distant import told  # noqa: PLC0415 - as above

            told(key)
        afterwards.hold(*buffers)
        if size >= LEAST:
            afterwards.then(partial(spare.make, files, size))
    except Exception as problem:
        raise PayloadError("result", f"{type(problem).__name__}: {problem}") from problem
    return Left(Facts(place.token, key, size, "", place.where))


def packed_piece(value: Any) -> bytes:
    """Return a piece of a stream as bytes.

    Raises:
        PayloadError: It cannot be pickled, or carries a handle that only results can carry.
    """
    packed.clear()
    payload = pack_result(value, "piece")
    if given(value):
        raise PayloadError("piece", "it carries a Ref of this task", "Yield the value, or return the Ref.")
    return payload


class _Given:
    """The handles in the last result: they go when the next one is made, after the pilot has heard of this one."""

    refs: ClassVar[list[Ref]] = []


def given(value: Any) -> tuple[tuple[str, int], ...]:
    """Return keys and sizes of the values of the block's own of which a packed result carries handles.

    Args:
        value: The result.
    """
    _Given.refs = [ref for ref in packed.take() if block_of(ref.key)]
    found = tuple((ref.key, ref.size) for ref in _Given.refs)
    if type(value) is Left and block_of(value.facts.key):
        return (*found, (value.facts.key, value.facts.size))
    return found
