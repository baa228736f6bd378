"""A TCP connection at one end of a stream of the link."""

import asyncio
from typing import cast

import msgspec

from rhapsody_parsl.wire.streams import Streams

__all__ = ("HANG_UP_AFTER", "Pipe", "unavailable")

_RETRY_AFTER, _RETRY_SOON = 5, 1
"""Seconds: while nobody is there, and when a door was lost that is back in a moment."""
HANG_UP_AFTER = 5.0
"""Seconds that a client has to read why it is refused."""


class Pipe(asyncio.Protocol):
    """Passes bytes on, both ways, and reads no faster than the other end does.

    Args:
        visitor: Whether the connection is a client's. When a client goes, all is over at once: it wants no answer any
            more. When the server goes, what it said is still delivered.

    Attributes:
        lost: Whether the connection has ended.
    """

    def __init__(self, visitor: bool) -> None:
        self._visitor, self._streams, self._number = visitor, Streams(lambda _: None), 0
        self._transport: asyncio.Transport | None = None
        self._early: list[bytes] = []
        self._full = self._held = self._unanswered = self.lost = False
        self._untaken = 0

    def join(self, streams: Streams, number: int) -> None:
        """Be the end of a stream from now on."""
        self._streams, self._number = streams, number
        streams.add(number, self)
        self._held = False
        if self._transport:
            self._transport.resume_reading()

    def hold(self) -> None:
        """Read nothing until it joins a stream.

        From the loop's next turn on: the first Pythons 3.11 begin to read after `connection_made`, paused or not.
        """
        self._held = True
        asyncio.get_running_loop().call_soon(self._pause)

    def _pause(self) -> None:
        if self._held and self._transport:
            self._transport.pause_reading()

    def refuse(self, why: str, retry_after: int = _RETRY_AFTER) -> None:
        """Answer the client that nobody can answer, and hang up.

        Args:
            why: For people.
            retry_after: Seconds until it is to ask again.
        """
        self._held = False
        if self._transport and not self.lost:
            self._transport.resume_reading()  # or what it has sent makes the kernel reset the connection
            self._transport.write(unavailable(why, retry_after))
            if self._transport.can_write_eof():
                self._transport.write_eof()

    def hang_up(self) -> None:
        """End the connection at once."""
        if self._transport:
            self._transport.abort()

    # --- of the connection (`asyncio.Protocol`) ------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is there."""
        self._transport = cast("asyncio.Transport", transport)
        if self.lost:
            self._transport.abort()
        early, self._early = self._early, []
        for data in early:
            self.deliver(data)

    def data_received(self, data: bytes) -> None:
        """It said something."""
        self._unanswered = True
        if not self._streams.write(self._number, data) and self._transport:
            self._transport.pause_reading()

    def connection_lost(self, problem: Exception | None) -> None:
        """It has ended."""
        self.lost = True
        if self._visitor:
            self._streams.abandon(self._number)
        else:
            self._streams.finish(self._number)

    def pause_writing(self) -> None:
        """It takes no more for now."""
        self._full = True

    def resume_writing(self) -> None:
        """It takes more."""
        self._full = False
        untaken, self._untaken = self._untaken, 0
        self._streams.consumed(self._number, untaken)

    # --- of the stream (`streams.End`) ---------------------------------------------------------------------------

    def deliver(self, data: bytes) -> None:
        """The other end said something."""
        self._unanswered = False
        if self._transport is None:
            self._early.append(data)
            return
        if not self._transport.is_closing():  # else asyncio complains of each piece
            self._transport.write(data)
        if self._full:
            self._untaken += len(data)
        else:
            self._streams.consumed(self._number, len(data))

    def drained(self) -> None:
        """All that the connection said is on its way."""
        if self._transport:
            self._transport.resume_reading()

    def ended(self) -> None:
        """The other end has gone: a client still gets what was said to it, or is told to ask again."""
        if self._transport and self._visitor and self._unanswered:
            self.refuse("The block's front door was lost with this request. Ask again", _RETRY_SOON)
            asyncio.get_running_loop().call_later(HANG_UP_AFTER, self.hang_up)
        elif self._transport and self._visitor:
            self._transport.close()
        elif self._transport:
            self._transport.abort()
        self.lost = True


def unavailable(why: str, retry_after: int = _RETRY_AFTER) -> bytes:
    """Return the whole HTTP answer where no door is to give one.

    Args:
        why: For people.
        retry_after: Seconds until the client is to ask again.
    """
    kind = "service_unavailable"
    body = msgspec.json.encode({"error": {"message": why, "type": kind, "param": None, "code": kind}})
    head = (
        f"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        f"Retry-After: {retry_after}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
