"""Which tasks of a block need which of the values that tasks of it made; pure.

Such a value stays while somebody has a handle of it: a task, a task that takes it and has not ended, the driver, the
checkpoint of an agent, or whoever has pinned it.
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping

from rhapsody_parsl.data.book import Book, Entry

__all__ = ("DRIVER", "Holdings")

DRIVER = 0
"""Who needs what tasks have returned to the driver; it says when it does no more."""


class Holdings:
    """The values of a block whose needs its pilot counts.

    A holder is named by anything: a task by its number. It has as many handles as it was given.
    """

    def __init__(self) -> None:
        self._book = Book()
        self._held: dict[Hashable, Counter[str]] = {}
        self._gone: list[str] = []

    def __contains__(self, key: str) -> bool:
        return key in self._book

    def __len__(self) -> int:
        return len(self._book)

    def __bool__(self) -> bool:
        """Whether somebody holds something."""
        return bool(self._held)

    def holds(self, holder: Hashable) -> bool:
        """Whether this one holds something."""
        return holder in self._held

    def hold(self, holder: Hashable, key: str, size: int = 0, label: str = "") -> None:
        """There is one handle more."""
        self._book.hold(key, size, label)
        self._held.setdefault(holder, Counter())[key] += 1

    def free(self, holder: Hashable, given: Mapping[str, int]) -> None:
        """Somebody has no handle any more.

        Args:
            holder: That one.
            given: How many it has had, by key: what was given meanwhile counts on.
        """
        held = self._held.get(holder)
        if held is None:
            return
        for key, count in given.items():
            fewer = min(count, held[key])
            held[key] -= fewer
            self._release(key, fewer)
            if not held[key]:
                del held[key]
        if not held:
            del self._held[holder]

    def over(self, holder: Hashable) -> None:
        """Somebody is no more, or has no handle of any any more."""
        for key, count in self._held.pop(holder, {}).items():
            self._release(key, count)

    def rest(self, holder: Hashable, values: Iterable[tuple[str, int]]) -> None:
        """Somebody holds these from now on, and no others."""
        before = self._held.pop(holder, Counter[str]())
        for key, size in values:
            self.hold(holder, key, size)
        for key, count in before.items():
            self._release(key, count)

    def unheld(self, key: str) -> None:
        """There is a value; unless somebody holds it, nobody ever will."""
        if key not in self._book:
            self._gone.append(key)

    def pin(self, key: str, pinned: bool) -> bool:
        """Keep a value without a handle, or no more; return whether it is there."""
        is_there = self._book.pin(key, pinned)
        entry = self._book.get(key)
        if entry is not None and not entry.is_needed:
            self.delete(key)
        return is_there

    def labelled(self, label: str) -> Entry | None:
        """Return the value of a label."""
        return self._book.labelled(label)

    def delete(self, key: str) -> None:
        """A value goes, whoever needs it."""
        self._book.delete(key)
        self._gone.append(key)

    def take_gone(self) -> list[str]:
        """Return the values since the last call that nobody needs any more."""
        gone, self._gone = self._gone, []
        return [key for key in gone if key not in self._book]

    def _release(self, key: str, count: int) -> None:
        for _ in range(count):
            if self._book.release(key):
                self._gone.append(key)
