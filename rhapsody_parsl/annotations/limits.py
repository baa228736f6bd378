"""Checks of a single setting: what cannot work is refused with the limit."""

import math
from typing import Any

from rhapsody_parsl.errors import InvalidTask

__all__ = (
    "LONGEST_TIME",
    "MOST",
    "check_gpus",
    "check_name",
    "check_period",
    "check_positive",
    "check_range",
    "check_text",
)

MOST = 100_000
"""Nodes, cores of a node, processes: more of anything no block has."""

LONGEST_TIME = 1e9
"""Seconds: 31 years. Clocks and timers overflow beyond ten times as many."""

_SHORTEST_TIME = 0.1
"""Seconds: no process is up in less."""

_LEAST_SHARE = 0.001
"""Of a GPU."""

_LONGEST_NAME = 200
"""Characters."""


def check_range(key: str, value: Any, low: float, high: float = MOST) -> None:
    """Check a number, both limits included.

    Raises:
        InvalidTask: It is outside, not finite, or no number.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not -math.inf <= value <= math.inf:
        raise InvalidTask(key, value, "a number is needed")
    if value < low:
        raise InvalidTask(key, value, f"it must be {low:g} or more")
    if value > high:
        raise InvalidTask(key, value, f"it must be {high:g} at most")


def check_positive(key: str, value: Any, high: float = LONGEST_TIME) -> None:
    """Check a number that is more than zero.

    Raises:
        InvalidTask: It is zero or less, more than `high`, not finite, or no number.
    """
    check_range(key, value, -math.inf, high)
    if not value > 0:
        raise InvalidTask(key, value, "it must be more than zero")


def check_period(key: str, value: Any) -> None:
    """Check the seconds that processes are given to start, to work or to leave.

    Raises:
        InvalidTask: Nothing could be done in it, or it is too long, not finite, or no number.
    """
    check_range(key, value, _SHORTEST_TIME, LONGEST_TIME)


def check_gpus(key: str, value: float) -> None:
    """Check a number of GPUs.

    Raises:
        InvalidTask: It is neither whole nor a share of one.
    """
    if value > 1 and value != int(value):
        raise InvalidTask(
            key, value, "above 1 only whole GPUs can be leased", f"Use {int(value) + 1}, or a share below 1"
        )
    if 0 < value < _LEAST_SHARE:
        raise InvalidTask(key, value, f"the smallest share of a GPU is {_LEAST_SHARE}")


def check_text(key: str, value: str, longest: int = 4096) -> None:
    """Check a text that a command line, a variable or a path is made of.

    Raises:
        InvalidTask: It is too long, holds NUL, or cannot be encoded.
    """
    if len(value) > longest:
        raise InvalidTask(key, value, f"it must have {longest} characters at most")
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise InvalidTask(key, value, "the character NUL, and half of a surrogate pair, are not allowed")


def check_name(key: str, value: Any) -> None:
    """Check a name that the user gives something while the block runs.

    Raises:
        InvalidTask: It is no text, empty, too long, or cannot be encoded.
    """
    if type(value) is not str or not value:
        raise InvalidTask(key, value, "a name is needed: text that is not empty")
    check_text(key, value, _LONGEST_NAME)
