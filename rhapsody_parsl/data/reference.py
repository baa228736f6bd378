"""`Ref`: a value that stays in the block, or at the driver; where a task opens its arguments, the value itself.

What a reference becomes where it is unpickled depends on the process. At its executor it is a `Ref` again. In a task it
is the value; but a task that opens what its own tasks gave it gets a `Ref`. Anywhere else it cannot be opened.
"""

import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, NamedTuple, Protocol

from rhapsody_parsl.errors import DataLost
from rhapsody_parsl.payload import Carried

__all__ = ("Facts", "Here", "Left", "Owner", "Ref", "packed", "taken_by")


class Facts(NamedTuple):
    """What travels of a reference.

    Attributes:
        token: Of its executor.
        key: Of the value.
        size: Of its file, in bytes.
        label: The user's name for it, or "".
        where: The block that the driver has to ask for it; "" where it sees the value itself.
    """

    token: str
    key: str
    size: int
    label: str = ""
    where: str = ""

    @property
    def name(self) -> str:
        """What people call it."""
        return self.label or self.key


class Owner(Protocol):
    """Who keeps values, and counts who needs them: an executor, or a task that has made some itself.

    Attributes:
        token: Tells the executor from all others.
        where: The block of the task; "" for an executor.
    """

    token: str
    where: str

    def value_of(self, ref: "Ref") -> Any:
        """Return the value."""

    def delete(self, ref: "Ref") -> None:
        """Remove the value, whoever needs it."""

    def pin(self, ref: "Ref", pinned: bool) -> None:
        """Keep the value without a handle, or no more."""

    def released(self, key: str) -> None:
        """A handle is gone; called at any time, on any thread."""

    def arrived(self, facts: Facts) -> "Ref":
        """Return a handle of a value that a task has left in the block."""


class Here:
    """What references become in this process.

    Attributes:
        owners: Its executors, by token.
        opens: In the process of a task: returns the value.
    """

    owners: ClassVar["weakref.WeakValueDictionary[str, Owner]"] = weakref.WeakValueDictionary()
    opens: ClassVar[Callable[[Facts], Any] | None] = None


class _Packed(threading.local):
    refs: "tuple[weakref.ref[Ref], ...]" = ()

    def clear(self) -> None:
        """Forget them."""
        self.refs = ()

    def take(self) -> "list[Ref]":
        """Return them; those that nobody holds any more are no arguments of a call."""
        refs, self.refs = self.refs, ()
        return [ref for found in refs if (ref := found())]


packed = _Packed()
"""The references that this thread has pickled since somebody took them: those among a call's arguments."""


class _Taking(threading.local):
    owner: Owner | None = None


_taking = _Taking()


@contextmanager
def taken_by(owner: Owner | None) -> Iterator[None]:
    """Have references that this thread opens be handles of a task: it opens what others gave it, and no arguments."""
    before, _taking.owner = _taking.owner, owner
    try:
        yield
    finally:
        _taking.owner = before


class Ref(Carried):
    """A handle of a value that is kept by reference.

    Give it to apps in place of the value, also in lists, tuples and dicts. They get the value. The value goes when its
    last handle has gone and no unfinished task uses it.

    Args:
        owner: Keeps the value.
        key: Of the value.
        size: Of its file, in bytes.
        label: For people: the user's name for it, or "".
    """

    __slots__ = ("__weakref__", "_owner", "key", "label", "size")

    def __init__(self, owner: Owner, key: str, size: int, label: str = "") -> None:
        self._owner, self.key, self.size, self.label = owner, key, size, label
        weakref.finalize(self, owner.released, key).atexit = False

    def result(self) -> Any:
        """Return the value; arrays in it are views of shared memory, which cannot be written.

        Raises:
            DataLost: It is gone, or was deleted.
        """
        return self._owner.value_of(self)

    def delete(self) -> None:
        """Remove the value now, whoever still has a handle; idempotent. Tasks that use it later raise `DataLost`."""
        self._owner.delete(self)

    def pin(self, pinned: bool = True) -> None:
        """Keep the value without a handle, until it is deleted, unpinned, or the executor is shut down.

        Args:
            pinned: False takes that back.

        Raises:
            DataLost: The value is gone.
        """
        self._owner.pin(self, pinned)

    @property
    def executor(self) -> str:
        """What tells its executor from all others."""
        return self._owner.token

    @property
    def name(self) -> str:
        """What people call it: its label, else its key."""
        return self.label or self.key

    def __repr__(self) -> str:
        return f"<Ref {self.name}, {self.size} bytes>"

    def __copy__(self) -> "Ref":
        return self

    def __deepcopy__(self, memo: Any) -> "Ref":
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        packed.refs = (*packed.refs, weakref.ref(self))
        return unpacked, (self._owner.token, self.key, self.size, self.label, self._owner.where)


class Left(Carried):
    """What travels of a value that a task has left in the block: a `Ref` at the driver, or at the task's parent.

    Args:
        facts: Of the value.
    """

    __slots__ = ("facts",)

    def __init__(self, facts: Facts) -> None:
        self.facts = facts

    def __reduce__(self) -> tuple[Any, ...]:
        return unpacked, tuple(self.facts)


def unpacked(*told: Any) -> Any:
    """Return what a reference becomes here.

    Raises:
        DataLost: It can become nothing here, or the value is gone.
    """
    facts = Facts(*told)
    owner = Here.owners.get(facts.token) or _taking.owner
    if owner is not None and owner.token == facts.token:
        return owner.arrived(facts)
    if Here.opens is None:
        raise DataLost(facts.name, facts.size, "no task of its executor runs in this process")
    return Here.opens(facts)
