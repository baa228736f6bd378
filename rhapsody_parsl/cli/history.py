"""How many tasks had ended, and when: throughput, now and over the last minutes. Pure."""

from collections import deque
from collections.abc import Sequence
from itertools import pairwise

__all__ = ("History",)

_MOST = 120
_SPAN = 10.0
"""Seconds over which the throughput of the moment is taken."""


class History:
    """What was seen of an executor, one look after the other."""

    def __init__(self) -> None:
        self._looks: deque[tuple[float, int]] = deque(maxlen=_MOST)

    def add(self, now: float, ended: int) -> None:
        """So many tasks had ended by now, in seconds."""
        if not self._looks or now > self._looks[-1][0]:
            self._looks.append((now, ended))

    @property
    def rate(self) -> float:
        """Tasks that ended per second, over the last ten."""
        if not self._looks:
            return 0.0
        recent = [look for look in self._looks if look[0] >= self._looks[-1][0] - _SPAN]
        return _per_second(recent[0], recent[-1])

    def rates(self, most: int) -> Sequence[float]:
        """Return the same between each two looks, so many at most, the newest last."""
        looks = list(self._looks)[-most - 1 :]
        return [_per_second(one, two) for one, two in pairwise(looks)]


def _per_second(one: tuple[float, int], two: tuple[float, int]) -> float:
    return (two[1] - one[1]) / (two[0] - one[0]) if two[0] > one[0] else 0.0
