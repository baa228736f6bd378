"""Classes of numbers: what is in one differs by little, and is taken for alike."""

import math

__all__ = ("EIGHTH", "class_of")

EIGHTH = 8


def class_of(number: float, parts: int) -> float:
    """Return the largest number of a number's class.

    Args:
        number: Zero or more.
        parts: Numbers of a class differ by one of so many parts at most.
    """
    fraction, octave = math.frexp(number)
    return math.ldexp(math.ceil(fraction * 2 * parts) / (2 * parts), octave)
