"""Where pilots come in: one port for all, and a socket of this host for those on it, which is faster."""

import asyncio
import secrets
from collections.abc import Callable

from rhapsody_parsl.wire.gate import Proof, Token
from rhapsody_parsl.wire.stream import StreamListener
from rhapsody_parsl.wire.tcp_listener import TcpListener

__all__ = ("Hear", "Listeners")

Hear = Callable[[str, list[bytes]], None]
"""Takes a pilot's name and the frames it sent."""


class Listeners:
    """The driver's listeners.

    Args:
        address: `tcp://host` to bind on, a free port is taken.
        loop: On which all is heard.
        local: Whether pilots on this host may come over a Unix socket.
        proof: What pilots show who come over TCP.
        token: What those show who come over the Unix socket.
        hear: Told what came over TCP.
        hear_local: Told what came over the Unix socket.
        ended: Told that some connection over TCP has ended, nobody knows whose.
        cut: Told the name of a pilot whose Unix socket has ended.

    Attributes:
        port: Of TCP.
        local_address: Of the Unix socket, or "".
    """

    def __init__(  # noqa: PLR0913 - who may come, and who is told
        self,
        address: str,
        loop: asyncio.AbstractEventLoop,
        *,
        local: bool,
        proof: Proof,
        token: Token,
        hear: Hear,
        hear_local: Hear,
        ended: Callable[[], None],
        cut: Callable[[str], None],
    ) -> None:
        self._tcp = TcpListener(address, hear, proof, loop, cut=ended)
        self.port = self._tcp.port
        self.local_address = f"@rhapsody-{secrets.token_hex(16)}" if local else ""
        self._local = StreamListener(self.local_address, hear_local, loop, ended=cut, token=token) if local else None

    def send(self, peer: str, frames: list[bytes], local: bool) -> bool:
        """Send frames to a pilot; return whether it has a connection that takes them."""
        listener = self._local if local and self._local else self._tcp
        return listener.send(peer, frames)

    def close(self) -> None:
        """Close all; what was sent has half a second to leave."""
        if self._local:
            self._local.close()
        self._tcp.close(linger=0.5)
