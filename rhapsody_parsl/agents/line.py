"""One end of the conversation of the pilot and a node agent: numbered, resumed after a cut, in batches, watched.

What is said within one turn of the event loop travels as one message. A long one goes in pieces, each of which is a
sign of life: so no heartbeat waits behind it. Few of them are on the way at once.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

import msgspec

from rhapsody_parsl.agents.words import Relayed
from rhapsody_parsl.wire.malformed import MalformedFrame
from rhapsody_parsl.wire.pieces import LONGEST, cut, joined
from rhapsody_parsl.wire.session import Session

__all__ = ("Line",)

MOST_HELD = 64 * 1024 * 1024
"""Bytes that wait to be confirmed, from which on nobody is to say more."""

_MOST_AHEAD = 4 * LONGEST
"""Bytes on the way that are not confirmed, from which on the rest waits here: what passes them on holds so much of each
of many hosts, and a heartbeat of others waits there behind so much."""

_SMALL = 32 * 1024
"""Bytes of a frame that travels within its words."""

_ACK_AFTER = 4 * 1024
"""Bytes. The pilot keeps what is not confirmed, for each of a thousand hosts; an answer confirms as well."""

W = TypeVar("W")
Said = tuple[Any, Sequence[bytes]]
_Batch = tuple[list[Any], list[bytes], int]
_encode = msgspec.msgpack.Encoder().encode


class Line(Generic[W]):
    """One end.

    Args:
        words: The union of what the other end may say.
        post: Sends frames, where there is a connection just now.
        receive: Called with each word, and the frames that belong to it.
        lost: Called once, with the reason, when the other end is gone for good.
        period: Seconds between heartbeats.
        threshold: Seconds of silence after which it is. Those that this process sleeps through itself do not count.
        grace: Seconds that the first word may take longer.
        crowd: Called with True when too much waits to be confirmed, with False when it is little again.
    """

    def __init__(  # noqa: PLR0913 - as many facts, each from somewhere else
        self,
        words: Any,
        *,
        post: Callable[[Sequence[bytes]], object],
        receive: Callable[[W, list[bytes]], None],
        lost: Callable[[str], None],
        period: float,
        threshold: float,
        grace: float = 0.0,
        crowd: Callable[[bool], None] = lambda _: None,
    ) -> None:
        self._post, self._receive, self._lost, self._crowd = post, receive, lost, crowd
        self._period, self._threshold = period, threshold
        self._decode = msgspec.msgpack.Decoder(list[words]).decode
        self._loop = asyncio.get_running_loop()
        self._session = Session(_ACK_AFTER)
        self._unsent: list[Said] = []
        self._waiting: deque[Iterator[_Batch]] = deque()
        self._behind = 0  # bytes that have not been sent
        self._parts: dict[tuple[str, str], list[bytes]] = {}
        self._crowded = self.closed = False
        self._silence, self._looked = -grace, self._loop.time()
        self._timer = self._loop.call_later(period, self._beat)

    def send(self, word: Any, frames: Sequence[bytes] = ()) -> None:
        """Send a word at the end of this turn of the loop; it arrives once and in order, unless the line is lost."""
        if not self._unsent:
            self._loop.call_soon(self.flush)
        self._unsent.append((word, frames))
        self._behind += _length(word, frames)

    def relay(self, exchange: str, peer: str, frames: Sequence[bytes]) -> None:
        """Send a message of a process, or to one."""
        if len(frames) == 1 and len(frames[0]) <= _SMALL:
            self.send(Relayed(exchange, peer, small=bytes(frames[0])))
        else:
            self.send(Relayed(exchange, peer, len(frames)), frames)

    def flush(self) -> None:
        """Send what was said, as far as the other end keeps up."""
        if self._unsent:
            self._waiting.append(_batches(self._unsent))
            self._unsent = []
        while self._waiting and self._session.held < _MOST_AHEAD and not self.closed:
            if batch := next(self._waiting[0], None):
                words, frames, size = batch
                self._behind -= size
                self._post(self._session.send([_encode(words), *frames]))
            else:
                self._waiting.popleft()
        self._look_at_crowd()

    def beat(self) -> None:
        """Send a sign of life; it tells the other end what it lacks."""
        self._post(self._session.beat())

    def hear(self, frames: list[bytes]) -> None:
        """Take what has arrived."""
        if self.closed:
            return
        self._silence = 0.0
        try:
            for body in self._session.receive(frames):
                self._take(body)
        except MalformedFrame as problem:
            self.lose(f"it spoke out of turn ({problem})")
            return
        for reply in self._session.replies:
            self._post(reply)
        self._session.replies.clear()
        if self._waiting or self._crowded:
            self.flush()

    def lose(self, reason: str) -> None:
        """The other end is gone; idempotent."""
        if not self.closed:
            self.close()
            self._lost(reason)

    def close(self) -> None:
        """Say and hear nothing more; idempotent."""
        self.closed = True
        self._timer.cancel()

    def _beat(self) -> None:
        now = self._loop.time()
        self._silence += min(now - self._looked, 2 * self._period)
        self._looked = now
        if self._silence > self._threshold:
            self.lose(f"it was silent for {self._threshold:g} s")
            return
        self.beat()
        self._timer = self._loop.call_later(self._period, self._beat)

    def _look_at_crowd(self) -> None:
        crowded = self._session.held + self._behind > (MOST_HELD // 2 if self._crowded else MOST_HELD)
        if crowded != self._crowded:
            self._crowded = crowded
            self._crowd(crowded)

    def _take(self, body: Sequence[bytes]) -> None:
        try:
            words = self._decode(body[0])
        except Exception as problem:  # what bytes of anybody's can raise, msgspec does not list
            raise MalformedFrame(f"no words of ours ({type(problem).__name__}: {problem})") from problem
        at = 1
        for word in words:
            frames: list[bytes] = []
            if isinstance(word, Relayed) and not word.frames:
                frames = [word.small]
            elif isinstance(word, Relayed):
                frames = list(body[at : at + word.frames])
                at += len(frames)
                if not self._is_whole(word, frames):
                    continue
                frames = self._whole(word, frames)
            if not self.closed:  # a word may be the last that is wanted
                self._receive(word, frames)

    def _is_whole(self, word: Relayed, frames: list[bytes]) -> bool:
        """Whether a message has its last piece; earlier ones are kept."""
        if len(frames) != word.frames:
            raise MalformedFrame(f"{word.frames} frames were announced, and {len(frames)} came")
        if word.more:
            self._parts.setdefault((word.exchange, word.peer), []).extend(frames)
        return not word.more

    def _whole(self, word: Relayed, frames: list[bytes]) -> list[bytes]:
        parts = self._parts.pop((word.exchange, word.peer), None) if self._parts else None
        return frames if parts is None else joined([*parts, *frames])


def _batches(said: Iterable[Said]) -> Iterator[_Batch]:
    """Yield words, and the frames of those that are relayed, in messages of a bounded size."""
    words: list[Any] = []
    frames: list[bytes] = []
    size = 0
    for word, parts in _in_pieces(said):
        length = _length(word, parts)
        if words and size + length > LONGEST:
            yield words, frames, size
            words, frames, size = [], [], 0
        words.append(word)
        frames.extend(parts)
        size += length
    if words:
        yield words, frames, size


def _length(word: Any, frames: Sequence[bytes]) -> int:
    return sum(map(len, frames)) if frames else len(word.small) if isinstance(word, Relayed) else 0


def _in_pieces(said: Iterable[Said]) -> Iterator[Said]:
    """Yield what was said, long messages in pieces."""
    for word, frames in said:
        if not frames or sum(map(len, frames)) < LONGEST:
            yield word, frames
            continue
        pieces: Sequence[Any] = cut(frames)
        for number, piece in enumerate(pieces, 1):
            yield msgspec.structs.replace(word, frames=1, more=number < len(pieces)), [piece]
