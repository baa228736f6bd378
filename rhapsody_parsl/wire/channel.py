"""The conversation between the pilot and the processes of its runtimes: hub and spokes, wherever they stand.

On one host they speak over a Unix socket in a private folder (`ipc://PATH`), between hosts over CurveZMQ (`tcp://...`).
"""

import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from rhapsody_parsl.wire.codec import Codec, encode
from rhapsody_parsl.wire.messages import FromBackend, Message, ToBackend
from rhapsody_parsl.wire.stream import StreamConnection, StreamListener

if TYPE_CHECKING:
    from rhapsody_parsl.wire.curve import Keys
    from rhapsody_parsl.wire.tcp_connection import TcpConnection
    from rhapsody_parsl.wire.tcp_listener import TcpListener

__all__ = ("Hub", "Spoke")

_LOCAL = "ipc://"


class Hub:
    """The pilot's end of a runtime's conversations, on its event loop; peers are known by name.

    Args:
        endpoint: Where to listen: `ipc://PATH` in a private folder, or `tcp://host`, where a free port is taken.
        receive: Called with peer and message for each message that arrives.
        keys: Needed for tcp.
        peers: How many may come at once over tcp.

    Attributes:
        endpoint: Where a spoke finds it.
    """

    def __init__(
        self, endpoint: str, receive: Callable[[str, FromBackend], None], keys: "Keys | None" = None, peers: int = 0
    ) -> None:
        import asyncio  # noqa: PLC0415 - with ZeroMQ half of a worker's start, which needs neither on the pilot's host

        loop = asyncio.get_running_loop()
        self._receive = receive
        self._codec: Codec[FromBackend] = Codec(FromBackend)
        self._listener: StreamListener | TcpListener
        if endpoint.startswith(_LOCAL):
            self._listener = StreamListener(endpoint.removeprefix(_LOCAL), self._deliver, loop)
            self.endpoint = endpoint
        else:
            from rhapsody_parsl.wire import tcp, tcp_listener  # noqa: PLC0415 - as above

            silent = tcp.MOST_SILENT + tcp.CONNECTIONS * peers
            self._listener = tcp_listener.TcpListener(endpoint, self._deliver, _needed(keys), loop, silent=silent)
            self.endpoint = self._listener.endpoint

    def send(self, peer: str, message: ToBackend) -> None:
        """Send to a peer; a peer that is gone gets nothing (its end is an event of its own)."""
        self._listener.send(peer, encode(message))

    def forget(self, peer: str) -> None:
        """A peer is gone for good; one over a Unix socket is forgotten with its connection."""
        if not isinstance(self._listener, StreamListener):
            self._listener.forget(peer)

    def drain(self) -> None:
        """Deliver what has arrived, now: what a process said before it ended comes before its end."""
        self._listener.drain()

    def close(self) -> None:
        """Hang up on everyone; idempotent."""
        self._listener.close()

    def _deliver(self, peer: str, frames: list[bytes]) -> None:
        self._receive(peer, self._codec.decode(frames))  # the listener hangs up on a peer whose frames are none


class Spoke:
    """A process's end, with a name: any thread sends, one receives.

    Args:
        endpoint: The hub's.
        name: Ours; the hub addresses us by it.
        keys: Needed for tcp.
    """

    def __init__(self, endpoint: str, name: str, keys: "Keys | None" = None) -> None:
        self._codec: Codec[ToBackend] = Codec(ToBackend)
        self._line: StreamConnection | TcpConnection
        if endpoint.startswith(_LOCAL):
            self._line = StreamConnection(endpoint.removeprefix(_LOCAL), name)
        else:
            from rhapsody_parsl.wire import tcp_connection  # noqa: PLC0415 - as above

            self._line = tcp_connection.TcpConnection(endpoint, name, _needed(keys))

    def fileno(self) -> int:
        """Return a descriptor for a loop: when it is readable, `receive_nowait` until there is nothing."""
        return self._line.fileno()

    def send(self, message: Message) -> None:
        """Send a message; nothing happens when the hub is gone."""
        self._line.send(encode(message))

    def receive(self) -> ToBackend | None:
        """Wait for the next message; None when the hub is gone for good."""
        return self._decoded(self._line.receive())

    def receive_nowait(self) -> ToBackend | None:
        """Return the next message if there is one."""
        return self._decoded(self._line.receive_nowait())

    def wait_gone(self) -> None:
        """Wait until the hub is gone, on a thread that does nothing else."""
        self._line.wait_gone()

    def end_descriptor(self) -> int:
        """Return a descriptor, for a loop, that is readable once the hub is gone; a thread waits for that."""
        descriptor = os.eventfd(0)

        def tell() -> None:
            self.wait_gone()
            os.eventfd_write(descriptor, 1)

        threading.Thread(target=tell, name="end of the hub", daemon=True).start()
        return descriptor

    def close(self) -> None:
        """Close once what was sent has left (2 s at most)."""
        self._line.close()

    def _decoded(self, frames: list[bytes] | None) -> ToBackend | None:
        return None if frames is None else self._codec.decode(frames)


def _needed(keys: "Keys | None") -> "Keys":
    if keys is None:
        raise ValueError("a conversation over tcp needs keys")
    return keys
