"""The tasks that a run was given and that have not ended: a single one, of most runs of a large block."""

from collections.abc import Iterable

from rhapsody_parsl.wire.messages import Task

__all__ = ("InFlight",)


class InFlight:
    """Tasks in the order given.

    A single one needs nothing but its place here. With a dict each of 64,000 runs would take 200 bytes more.

    Attributes:
        has: How many there are.
    """

    __slots__ = ("_several", "_single", "has")

    def __init__(self) -> None:
        self.has = 0
        self._single: Task | None = None
        self._several: dict[int, Task] | None = None  # while there are some that came when another one was there

    def add(self, tasks: Iterable[Task]) -> None:
        """Put tasks behind the others."""
        for task in tasks:
            if not self.has:
                self._single = task
            else:
                if self._several is None:
                    self._several = {single.id: single for single in self.tasks()}
                    self._single = None
                self._several[task.id] = task
            self.has += 1

    def take(self, number: int) -> Task | None:
        """Take one out; None when it is not here."""
        if self._several is not None:
            taken = self._several.pop(number, None)
            if not self._several:
                self._several = None
        else:
            taken = self._single if self._single is not None and self._single.id == number else None
            if taken is not None:
                self._single = None
        self.has -= taken is not None
        return taken

    def task(self, number: int) -> Task | None:
        """Return one; None when it is not here."""
        if self._several is not None:
            return self._several.get(number)
        return self._single if self._single is not None and self._single.id == number else None

    @property
    def first(self) -> Task | None:
        """The one that was given first; None when there is none."""
        return next(iter(self._several.values())) if self._several else self._single

    def tasks(self) -> list[Task]:
        """Return all."""
        if self._several is not None:
            return list(self._several.values())
        return [] if self._single is None else [self._single]

    def numbers(self) -> list[int]:
        """Return the numbers of all."""
        return [task.id for task in self.tasks()]
