"""Numbers for what many entries have in common: each is written once, and meant by its number then."""

from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ("Numbers",)

K = TypeVar("K", bound=tuple[str, ...])


class Numbers(Generic[K]):
    """Gives numbers from 1 on.

    Args:
        most: How many are told apart at a time: with one more, all get new numbers.
        write: Takes the number and the facts of each new one.
    """

    def __init__(self, most: int, write: Callable[[int, K], None]) -> None:
        self._most, self._write = most, write
        self._numbers: dict[K, int] = {}
        self._count = 0

    def __len__(self) -> int:
        return len(self._numbers)

    def of(self, facts: K) -> int:
        """Return the number of these facts."""
        number = self._numbers.get(facts)
        if number is None:
            if len(self._numbers) >= self._most:
                self._numbers.clear()
            self._count += 1
            number = self._numbers[facts] = self._count
            self._write(number, facts)
        return number
