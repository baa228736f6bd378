"""Byte streams over one line of messages, many at once, each with credit: no I/O.

As in HTTP/2, what a stream may send is limited twice. Its own credit is given back when its reader has taken the bytes:
a slow reader holds up its stream and no other. The credit of the line is given back when bytes arrive: whatever else is
sent on the line waits behind `LINE_WINDOW` bytes at most. Streams that have bytes to send take turns.
"""

from collections.abc import Callable
from typing import Protocol

from rhapsody_parsl.wire.door import TunnelCredit, TunnelData, TunnelEnd, Tunnelled, TunnelOpen

__all__ = ("LINE_WINDOW", "PIECE", "WINDOW", "End", "Streams")

WINDOW = 256 * 1024
"""Bytes of a stream that are on the way, or wait for their reader."""
LINE_WINDOW = 512 * 1024
"""Bytes of all streams that are on the way."""
PIECE = 32 * 1024
"""Bytes in one message."""
_LINE = 0
_TELL_AFTER = 4
"""Credit is given back by this part of a window."""


class End(Protocol):
    """Who reads and writes a stream at this end."""

    def deliver(self, data: bytes) -> None:
        """Bytes came; say `Streams.consumed` when they are taken."""

    def drained(self) -> None:
        """All that was written has been sent."""

    def ended(self) -> None:
        """The other end has ended the stream; it is known no more."""


class _Stream:
    """One of them.

    Attributes:
        end: Whose it is.
        outgoing: What waits to be sent.
        credit: Bytes that may be sent.
        eaten: Bytes that were taken here, and not given back yet.
        finishing: Whether it ends when all is sent.
    """

    __slots__ = ("credit", "eaten", "end", "finishing", "outgoing")

    def __init__(self, end: End) -> None:
        self.end, self.outgoing = end, bytearray()
        self.credit, self.eaten, self.finishing = WINDOW, 0, False


class Streams:
    """One end of the streams of a line.

    Args:
        send: Sends a message.
    """

    def __init__(self, send: Callable[[Tunnelled], None]) -> None:
        self._send = send
        self._streams: dict[int, _Stream] = {}
        self._turns: dict[int, None] = {}
        self._room, self._arrived = LINE_WINDOW, 0

    def __len__(self) -> int:
        return len(self._streams)

    # --- for this end --------------------------------------------------------------------------------------------

    def add(self, number: int, end: End) -> None:
        """A stream begins here."""
        self._streams[number] = _Stream(end)

    def write(self, number: int, data: bytes) -> bool:
        """Send bytes, in order; return whether all of them could be sent: else do not write before `End.drained`."""
        stream = self._streams.get(number)
        if stream is None:
            return True
        stream.outgoing += data
        self._turns[number] = None
        self._pump()
        return not stream.outgoing

    def finish(self, number: int) -> None:
        """End a stream when all that was written is sent. Idempotent."""
        if stream := self._streams.get(number):
            stream.finishing = True
            self._end_if_done(number, stream)

    def abandon(self, number: int) -> None:
        """End a stream at once. Idempotent."""
        if self._forget(number):
            self._send(TunnelEnd(number))

    def consumed(self, number: int, size: int) -> None:
        """So many bytes of those that were delivered are taken."""
        stream = self._streams.get(number)
        if stream is None:
            return
        stream.eaten += size
        if stream.eaten >= WINDOW // _TELL_AFTER:
            self._send(TunnelCredit(number, stream.eaten))
            stream.eaten = 0

    def end_all(self) -> None:
        """The line is gone, and all streams with it."""
        for number in list(self._streams):
            if stream := self._forget(number):
                stream.end.ended()

    # --- from the other end --------------------------------------------------------------------------------------

    def receive(self, message: Tunnelled) -> None:
        """The other end said something; what it says of a stream that has ended is passed over."""
        match message:
            case TunnelData(stream=number, data=data):
                self._note_arrival(len(data))
                if stream := self._streams.get(number):
                    stream.end.deliver(data)
            case TunnelCredit(stream=number, size=size):
                self._credit(number, size)
            case TunnelEnd(stream=number):
                if stream := self._forget(number):
                    stream.end.ended()
            case TunnelOpen():
                return  # whoever opens streams for the other end takes this message before us

    def _note_arrival(self, size: int) -> None:
        self._arrived += size
        if self._arrived >= LINE_WINDOW // _TELL_AFTER:
            self._send(TunnelCredit(_LINE, self._arrived))
            self._arrived = 0

    def _credit(self, number: int, size: int) -> None:
        if number == _LINE:
            self._room += size
        elif stream := self._streams.get(number):
            stream.credit += size
            if stream.outgoing:
                self._turns[number] = None
        self._pump()

    def _pump(self) -> None:
        """Send what may be sent: a piece of each stream in turn."""
        while self._turns and self._room > 0:
            number = next(iter(self._turns))
            del self._turns[number]
            stream = self._streams[number]
            size = min(PIECE, self._room, stream.credit, len(stream.outgoing))
            if not size:
                continue  # it gets a turn again with its credit
            piece = bytes(stream.outgoing[:size])
            del stream.outgoing[:size]
            self._room -= size
            stream.credit -= size
            self._send(TunnelData(number, piece))
            if stream.outgoing:
                self._turns[number] = None
            else:
                self._end_if_done(number, stream)

    def _end_if_done(self, number: int, stream: _Stream) -> None:
        if stream.outgoing:
            return
        if stream.finishing:
            self.abandon(number)
        else:
            stream.end.drained()

    def _forget(self, number: int) -> _Stream | None:
        self._turns.pop(number, None)
        return self._streams.pop(number, None)
