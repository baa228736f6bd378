"""Who waits for which value, so that each is asked for once; pure."""

from typing import Generic, TypeVar

__all__ = ("Wanted",)

W = TypeVar("W")


class Wanted(Generic[W]):
    """Values that were asked for and have not come."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[W]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def ask(self, key: str, waiter: W) -> bool:
        """Have somebody wait; return whether the value is to be asked for: nobody has waited before."""
        waiting = self._waiting.setdefault(key, [])
        waiting.append(waiter)
        return len(waiting) == 1

    def take(self, key: str) -> list[W]:
        """A value has come, or is gone: return who has waited, in order."""
        return self._waiting.pop(key, [])

    def keys(self) -> list[str]:
        """Return what is waited for."""
        return list(self._waiting)
