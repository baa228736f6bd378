"""How many tasks and tokens there had been, and when: throughput, now and over the last minutes. Pure."""

from collections import deque
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

__all__ = ("History",)

_LEAST, _MOST = 2, 120
_SPAN = 10.0
"""Seconds over which the throughput of the moment is taken."""


class _Look(NamedTuple):
    at: float
    ended: int
    tokens: Mapping[str, int]


class History:
    """What was seen of an executor, one look after the other."""

    def __init__(self) -> None:
        self._looks: deque[_Look] = deque(maxlen=_MOST)

    def add(self, now: float, ended: int, tokens: Mapping[str, int] | None = None) -> None:
        """So many tasks had ended by now, in seconds, and so many tokens had come from each service."""
        if not self._looks or now > self._looks[-1].at:
            self._looks.append(_Look(now, ended, tokens or {}))

    @property
    def rate(self) -> float | None:
        """Tasks that ended per second, over the last ten; None after one look, which tells none."""
        if len(self._looks) < _LEAST:
            return None
        first, last = self._recent()
        return _per_second(last.ended - first.ended, first, last)

    @property
    def token_rates(self) -> dict[str, float] | None:
        """Tokens of requests that ended, per second, over the last ten, by service; None as above."""
        if len(self._looks) < _LEAST:
            return None
        first, last = self._recent()
        return {
            name: _per_second(count - first.tokens.get(name, 0), first, last) for name, count in last.tokens.items()
        }

    def _recent(self) -> tuple[_Look, _Look]:
        last = self._looks[-1]
        return next(look for look in self._looks if look.at >= last.at - _SPAN), last

    def rates(self, most: int) -> Sequence[float]:
        """Return the same between each two looks, so many at most, the newest last."""
        looks = list(self._looks)[-most - 1 :]
        return [_per_second(two.ended - one.ended, one, two) for one, two in pairwise(looks)]


def _per_second(count: int, one: _Look, two: _Look) -> float:
    return count / (two.at - one.at) if two.at > one.at else 0.0
