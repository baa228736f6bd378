"""How a process ended: by its exit code, for people and for those who decide what follows."""

import signal
from typing import Literal

__all__ = ("Cause", "cause_of", "from_shell", "how_ended")

Cause = Literal["own", "killed", "host"]
"""What a process ended of: its own doing, a signal that somebody or the system sends, or the loss of its host."""

_SIGNAL = 128
"""A shell's exit code, and a guard's, is this plus the signal's number."""
_SENT = (signal.SIGKILL, signal.SIGTERM)


def from_shell(code: int) -> int:
    """Return an exit code as Python has it, where a signal is a negative number, of one that a shell may have made."""
    return _SIGNAL - code if code > _SIGNAL else code


def how_ended(code: int | None) -> str:
    """Return how a process ended, for people: words that follow its name.

    Args:
        code: As Python has it; None when nobody knows.
    """
    if code is None:
        return "ended"
    return f"was ended by signal {-code}" if code < 0 else f"left with exit code {code}"


def cause_of(code: int) -> Cause:
    """Return what a process on a living host ended of, by its exit code as Python or a shell gives it."""
    return "killed" if -from_shell(code) in _SENT else "own"
