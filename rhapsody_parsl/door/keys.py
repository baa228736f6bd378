"""Who may ask at the door, and how much: no I/O, and times are the caller's.

Of a key only its hash is known here, but for the one that all of the block's tasks have.
"""

import math
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from rhapsody_parsl.door.refusal import Refusal
from rhapsody_parsl.wire.door import DoorKey, hash_of

__all__ = ("Holder", "Keys")

_MINUTE = 60.0
_CODE = "rate_limit_exceeded"
_SCHEME = "Bearer "
_SOON = 1
"""Seconds until whoever has too many requests at once may ask again; when one of them ends, nobody knows."""


class Holder:
    """Who holds a key.

    Args:
        key: What is known of it.

    Attributes:
        held: How many requests of the holder's are under way.
    """

    def __init__(self, key: DoorKey) -> None:
        self.key, self.held = key, 0
        self._begun: deque[float] = deque()

    @contextmanager
    def asking(self, now: float) -> Iterator[None]:
        """Count a request of the holder's while it is under way.

        Args:
            now: The time.
        """
        if self.key.requests_per_minute:
            self._begun.append(now)
        self.held += 1
        try:
            yield
        finally:
            self.held -= 1

    def refusal(self, now: float) -> Refusal | None:
        """Return why the key's limits do not allow a request, None when they do.

        Args:
            now: The time.
        """
        name, most, at_once = self.key.name, self.key.requests_per_minute, self.key.concurrency
        while self._begun and self._begun[0] <= now - _MINUTE:
            self._begun.popleft()
        if at_once and self.held >= at_once:
            text = f"Key '{name}' has {self.held} requests under way, and its limit is concurrency={at_once}"
            return Refusal(429, text, _CODE, retry_after=_SOON)
        if most and len(self._begun) >= most:
            left = math.ceil(self._begun[-most] + _MINUTE - now)
            text, advice = f"Key '{name}' has asked {most} times within a minute, its limit", f". Try again in {left} s"
            return Refusal(429, text, _CODE, retry_after=max(1, left), advice=advice)
        return None


class Keys:
    """The keys that are taken.

    Args:
        key: The block's own, which has no limits and cannot be removed.
    """

    def __init__(self, key: str) -> None:
        own = Holder(DoorKey("", hash_of(key)))
        self._own = {own.key.hash: own}
        self._others: dict[str, Holder] = {}

    def update(self, keys: Iterable[DoorKey]) -> None:
        """These are the keys beside the block's own from now on; those that stay have asked what they have asked."""
        before, self._others = self._others, {}
        for key in keys:
            holder = self._others[key.hash] = before.get(key.hash) or Holder(key)
            holder.key = key

    def holder(self, authorization: str) -> Holder | None:
        """Return who shows a key, None for a stranger.

        Args:
            authorization: The header.
        """
        if not authorization.startswith(_SCHEME):
            return None
        shown = hash_of(authorization.removeprefix(_SCHEME))
        return self._own.get(shown) or self._others.get(shown)
