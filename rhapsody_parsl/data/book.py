"""Who needs which value: handles, pins and labels; pure, with no clock and no files."""

from collections.abc import Iterator

import msgspec

__all__ = ("Book", "Entry")


class Entry(msgspec.Struct):
    """A value that is kept.

    Attributes:
        key: The value's.
        size: In bytes.
        label: The user's name for it, or "".
        handles: How many handles there are.
        pinned: Whether it stays without one.
        given: How many handles there ever were.
    """

    key: str
    size: int
    label: str = ""
    handles: int = 0
    pinned: bool = False
    given: int = 0

    @property
    def is_needed(self) -> bool:
        """Whether it stays."""
        return self.pinned or self.handles > 0


class Book:
    """The values of an executor; each is there from its first handle until nobody needs it, or it is deleted."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._labels: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def __contains__(self, key: str) -> bool:
        return key in self._entries

    @property
    def size(self) -> int:
        """Bytes of all values."""
        return sum(entry.size for entry in self)

    def get(self, key: str) -> Entry | None:
        """Return what is known of a value."""
        return self._entries.get(key)

    def labelled(self, label: str) -> Entry | None:
        """Return the value of a label."""
        return self._entries.get(self._labels.get(label, ""))

    def hold(self, key: str, size: int, label: str = "") -> None:
        """There is one handle more.

        Args:
            key: The value's.
            size: Its bytes.
            label: No other value has it.
        """
        entry = self._entries.setdefault(key, Entry(key, size, label))
        entry.handles += 1
        entry.given += 1
        if label:
            self._labels[label] = key

    def release(self, key: str) -> bool:
        """There is one handle less; return whether the value goes with it. Of a deleted one nothing is known."""
        entry = self._entries.get(key)
        if entry is None or not entry.handles:
            return False
        entry.handles -= 1
        return not entry.is_needed and self.delete(key)

    def pin(self, key: str, pinned: bool) -> bool:
        """Keep a value without a handle, or no more.

        Returns:
            Whether it is there.
        """
        entry = self._entries.get(key)
        if entry is not None:
            entry.pinned = pinned
        return entry is not None

    def delete(self, key: str) -> bool:
        """A value goes, whoever needs it; return whether it was there."""
        entry = self._entries.pop(key, None)
        if entry is None:
            return False
        if self._labels.get(entry.label) == key:
            del self._labels[entry.label]
        return True
