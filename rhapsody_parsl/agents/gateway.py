"""Where the node agents of other hosts come in by ours: it passes on what they and the pilot say to each other.

It opens nothing, and keeps nothing: their conversations are numbered from end to end. So its end is a cut for them.
"""

import asyncio
import logging
from collections.abc import Callable

from rhapsody_parsl.wire.curve import Keys
from rhapsody_parsl.wire.tcp import Bundle, Frames
from rhapsody_parsl.wire.tcp_listener import TcpListener

__all__ = ("Gateway", "gateway")

log = logging.getLogger(__name__)

_LINGER = 0.5


class Gateway:
    """That of a host, on the running event loop.

    Args:
        address: `tcp://host:port` to listen at.
        pair: Public and secret key of the agents, by which it and they know each other.
        send: Sends the pilot a message of theirs.
        period: Seconds between signs of life.

    Raises:
        OSError: Somebody has the port.
    """

    def __init__(
        self, address: str, pair: tuple[bytes, bytes], send: Callable[[Frames], object], period: float
    ) -> None:
        host, _, port = address.rpartition(":")
        self._loop, self._period = asyncio.get_running_loop(), period
        self._bundle = Bundle(self._loop, send)
        self.say = self._bundle.add
        self._listener = TcpListener(host, self.say, Keys(pair, pair), self._loop, port=int(port))
        self._timer: asyncio.TimerHandle | None = None

    def pass_on(self, name: str, frames: list[bytes]) -> None:
        """Have an agent hear something of the pilot; one that is not there does not miss it."""
        self._listener.send(name, frames)

    def open(self, there: bool) -> None:
        """Give the agents signs of life, or none while the pilot is not reached from here: they find another way."""
        if self._timer:
            self._timer.cancel()
        if there:
            self._greet()

    def _greet(self) -> None:
        self._listener.greet()
        self._timer = self._loop.call_later(self._period, self._greet)

    def close(self) -> None:
        """Pass nothing on any more; idempotent."""
        if self._timer:
            self._timer.cancel()
        self._listener.close(_LINGER)


def gateway(address: str, pair: tuple[bytes, bytes], send: Callable[[Frames], object], period: float) -> Gateway | None:
    """Open one; None where that cannot be: then the others speak to the pilot themselves. See `Gateway`."""
    try:
        return Gateway(address, pair, send, period)
    except OSError as problem:
        log.warning("others cannot speak to the pilot by %s: %s", address, problem)
        return None
