"""What waits until a task's result is on its way: to give back large memory, and to make some for the next result."""

from collections.abc import Callable

__all__ = ("hold", "opening", "see", "settle", "then")

_held: list[object] = []
_steps: list[Callable[[], None]] = []


class _Now:
    """Whether the arguments of a task are being opened."""

    opening = False


def opening(now: bool) -> None:
    """Note whether the arguments of a task are being opened; what it opens later goes with its last look at it."""
    _Now.opening = now


def see(memory: object) -> None:
    """Keep what was opened, if it is of an argument, until then: to unmap 100 MB takes 5 ms."""
    if _Now.opening:
        _held.append(memory)


def hold(*memory: object) -> None:
    """Keep these until then."""
    _held.extend(memory)


def then(step: Callable[[], None]) -> None:
    """Do this then, in place of what was to be done before."""
    _steps[:] = [step]


def settle() -> None:
    """The result is on its way."""
    _held.clear()
    while _steps:
        _steps.pop()()
