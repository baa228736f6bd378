"""Numbered delivery over a connection that may be cut: nothing lost, nothing delivered twice, order kept.

Both ends number their messages, confirm by cumulative acknowledgement, and resend from the first unconfirmed one when
the other reports a gap (go-back-N, as in HDLC and TCP's simplest form). A state machine: frames in, frames out, no
socket.
"""

import struct
from collections import deque
from collections.abc import Sequence

from rhapsody_parsl.wire.malformed import MalformedFrame

__all__ = ("Session",)

_HEAD = struct.Struct("<BQQ")
_DATA, _BEAT, _RESEND = 0, 1, 2
_ACK_AFTER = 256 * 1024

Frames = Sequence[bytes]


class Session:
    """One end of a numbered conversation.

    `send` and `beat` return frames for the socket. `receive` returns the bodies now due for delivery; frames it wants
    sent in answer are collected in `replies`, to be taken after each call.

    Args:
        ack_after: Bytes that have come, from which on they are confirmed by themselves: so much the other end keeps.

    Attributes:
        held: Bytes that were sent and are not confirmed.
        replies: Frames to be sent.
    """

    def __init__(self, ack_after: int = _ACK_AFTER) -> None:
        self._ack_after = ack_after
        self._next = 1
        self._unconfirmed: deque[tuple[int, Frames]] = deque()
        self._received = 0
        self._unacked_bytes = 0
        self._asked_for = 0
        self.held = 0
        self.replies: list[list[bytes]] = []

    @property
    def unconfirmed(self) -> int:
        """Number of messages the other end has not confirmed."""
        return len(self._unconfirmed)

    @property
    def sent(self) -> int:
        """Number of the last message that was sent."""
        return self._next - 1

    def has_confirmed(self, number: int) -> bool:
        """Whether the other end has confirmed a message."""
        return not self._unconfirmed or self._unconfirmed[0][0] > number

    def send(self, body: Frames) -> list[bytes]:
        """Number a body, keep it until confirmed, and return its frames."""
        number = self._next
        self._next += 1
        self._unconfirmed.append((number, body))
        self.held += sum(map(len, body))
        return self._data(number, body)

    def beat(self) -> list[bytes]:
        """Return a heartbeat: it tells the highest number sent and received."""
        self._unacked_bytes = 0
        return [_HEAD.pack(_BEAT, self.sent, self._received)]

    def receive(self, frames: Frames) -> list[Frames]:
        """Take frames from the socket; return the bodies to deliver, in order.

        Raises:
            MalformedFrame: The frames are not of this protocol, or the peer has forgotten what it confirmed.
        """
        if not frames or len(frames[0]) != _HEAD.size:
            raise MalformedFrame("frames without a session header arrived")
        kind, number, confirmed = _HEAD.unpack(frames[0])
        if kind not in (_DATA, _BEAT, _RESEND):
            raise MalformedFrame(f"frames of an unknown kind {kind} arrived")
        if confirmed >= self._next:
            raise MalformedFrame(f"message {confirmed} was confirmed, and {self._next - 1} is the last that was sent")
        self._confirm(confirmed)
        if kind == _RESEND:
            self.replies.extend(self._data(n, body) for n, body in self._unconfirmed)
            return []
        if kind == _BEAT:
            self._ask_if_behind(number + 1)
            return []
        return self._take(number, frames[1:])

    def _data(self, number: int, body: Frames) -> list[bytes]:
        self._unacked_bytes = 0
        return [_HEAD.pack(_DATA, number, self._received), *body]

    def _confirm(self, number: int) -> None:
        while self._unconfirmed and self._unconfirmed[0][0] <= number:
            self.held -= sum(map(len, self._unconfirmed.popleft()[1]))

    def _ask_if_behind(self, due: int) -> None:
        """Ask for a resend when the peer has sent up to `due - 1` and we lack some of it.

        The same gap is asked for once; a heartbeat with it still open asks again.
        """
        if self._received + 1 < due:
            self._asked_for = self._received + 1
            self.replies.append([_HEAD.pack(_RESEND, 0, self._received)])

    def _take(self, number: int, body: Frames) -> list[Frames]:
        if number > self._received + 1:
            if self._asked_for != self._received + 1:
                self._ask_if_behind(number)
            return []
        if number <= self._received:
            return []
        self._received = number
        self._unacked_bytes += sum(map(len, body))
        if self._unacked_bytes > self._ack_after:
            self.replies.append(self.beat())
        return [body]
