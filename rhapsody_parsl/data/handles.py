"""Counts the handles of values in a process, where a handle may go on any thread at any moment."""

import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from rhapsody_parsl.data.book import Book
from rhapsody_parsl.data.reference import Ref
from rhapsody_parsl.errors import DataLost

__all__ = ("Handles",)

T = TypeVar("T")


class Handles:
    """A book of values for all threads.

    A handle may go also while its own thread is in here. So that is only noted, and done by whoever is next outside.
    In a forked child all handles are copies: whoever holds them there, its parent decides what is needed.

    Args:
        dropped: Told of values that nobody needs any more, and how many handles of each there ever were. It must not
            wait, for it may be called within anything.
    """

    def __init__(self, dropped: Callable[[Mapping[str, int]], None]) -> None:
        self._dropped = dropped
        self._book, self._lock, self._process = Book(), threading.Lock(), os.getpid()
        self._gone: deque[str] = deque()

    def __contains__(self, key: str) -> bool:
        return key in self._book

    @property
    def are_copies(self) -> bool:
        """Whether this is a forked child."""
        return os.getpid() != self._process

    def ask(self, question: Callable[[Book], T]) -> T:
        """Return what somebody wants of the book."""
        with self._lock:
            answer = question(self._book)
        self._settle()
        return answer

    def check(self, refs: Iterable[Ref], why: str) -> None:
        """See that all of these values are held.

        Args:
            refs: Handles of theirs.
            why: What is said of one that is not.

        Raises:
            DataLost: One is not.
        """
        for ref in refs:
            if ref.key not in self:
                raise DataLost(ref.name, ref.size, why)

    def released(self, key: str) -> None:
        """A handle is gone."""
        self._gone.append(key)
        self._settle()

    def _settle(self) -> None:
        """Count the handles that are gone, if nobody is at the book: who is does it afterwards."""
        while self._gone and self._lock.acquire(blocking=False):
            dropped: dict[str, int] = {}
            try:
                with contextlib.suppress(IndexError):
                    while True:
                        key = self._gone.popleft()
                        entry = self._book.get(key)
                        if self._book.release(key) and entry is not None:
                            dropped[key] = entry.given
            finally:
                self._lock.release()
            if dropped and not self.are_copies:
                self._dropped(dropped)
