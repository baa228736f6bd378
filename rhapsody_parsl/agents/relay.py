"""The sockets on which the processes of a host speak, as on the pilot's own; what they say goes on unopened.

Large payloads lie in the host's memory between the processes and us.
"""

import asyncio
import os
from collections.abc import Callable
from functools import partial

from rhapsody_parsl.agents.large_payloads import LargePayloads
from rhapsody_parsl.hosts.data_place import payloads_of
from rhapsody_parsl.wire.stream import StreamListener

__all__ = ("Relay",)


class Relay:
    """The exchanges of one host.

    Args:
        folder: The private one.
        say: Called with exchange, peer and frames of each message of a process.
        left: Called with exchange and peer when a process speaks no more.
    """

    def __init__(
        self, folder: str, say: Callable[[str, str, list[bytes]], None], left: Callable[[str, str], None]
    ) -> None:
        self._folder, self._say, self._left = folder, say, left
        self._exchanges: dict[str, StreamListener] = {}
        self._payloads: dict[str, LargePayloads] = {}

    def open(self, exchange: str, after: str = "") -> None:
        """Let processes speak there; idempotent.

        Args:
            exchange: Its name.
            after: Another one: what is said here comes after all that was said there.

        Raises:
            OSError: The socket cannot be made.
        """
        if exchange not in self._exchanges:
            self._payloads[exchange] = LargePayloads(payloads_of(self._folder), exchange)
            path = os.path.join(self._folder, exchange)
            say = partial(self._say_after, after, exchange) if after else partial(self._take, exchange)
            ended = partial(self._ended, exchange)
            self._exchanges[exchange] = StreamListener(path, say, asyncio.get_running_loop(), ended=ended)

    def tell(self, exchange: str, peer: str, frames: list[bytes]) -> None:
        """Send a message to a process; one that is gone gets nothing."""
        if listener := self._exchanges.get(exchange):
            listener.send(peer, self._payloads[exchange].to(peer, frames))

    def hang_up(self, exchange: str, peer: str) -> None:
        """Hear a process no more."""
        if listener := self._exchanges.get(exchange):
            listener.hang_up(peer)

    def hold(self, held: bool) -> None:
        """Hear nobody for a while, or go on: nothing is lost, whoever speaks waits."""
        for listener in self._exchanges.values():
            listener.hold(held)

    def drain(self) -> None:
        """Take all that was said: what a process said before it exited goes before the word of its exit."""
        for listener in self._exchanges.values():
            listener.drain()

    def _say_after(self, after: str, exchange: str, peer: str, frames: list[bytes]) -> None:
        if listener := self._exchanges.get(after):
            listener.drain()
        self._take(exchange, peer, frames)

    def _take(self, exchange: str, peer: str, frames: list[bytes]) -> None:
        self._say(exchange, peer, self._payloads[exchange].of(peer, frames))

    def _ended(self, exchange: str, peer: str) -> None:
        self._payloads[exchange].left(peer)
        self._left(exchange, peer)

    def close(self) -> None:
        """Hang up on everybody; idempotent."""
        for listener in self._exchanges.values():
            listener.close()
        self._exchanges.clear()
