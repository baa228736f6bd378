"""A runtime's conversation with its processes on all hosts: one hub for those of this host, one for those of others."""

from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from rhapsody_parsl.runtimes.protocol import Context
from rhapsody_parsl.wire.channel import Hub
from rhapsody_parsl.wire.curve import Keys
from rhapsody_parsl.wire.messages import FromBackend, ToBackend, Work
from rhapsody_parsl.wire.shared_memory import deliver

__all__ = ("KEYS", "Exchange")

KEYS = "keys"
"""Name of the folder of CurveZMQ keys in the private folder, on each host of a block that has several."""


class Exchange:
    """Two hubs as one: peers are known by name, wherever they are.

    Args:
        context: The block.
        name: Of the socket.
        receive: Called with peer and message for each message that arrives.
    """

    def __init__(self, context: Context, name: str, receive: Callable[[str, FromBackend], None]) -> None:
        self._context, self._receive = context, receive
        self._near = Hub(f"ipc://{context.folder}/{name}", receive)
        self._far: Hub | None = None
        self._keys: Path | None = None
        self._strangers: set[str] = set()
        if context.hosts:
            self._keys = context.folder / KEYS
            cores = sum(len(node.cores) for node in context.nodes.values())
            self._far = Hub("tcp://0.0.0.0", self._receive_far, Keys.load(self._keys), peers=cores)

    @property
    def folder(self) -> str:
        """The private folder, by the same name on every host of the block."""
        return str(self._context.folder)

    def arguments(self, hosts: Iterable[str]) -> list[str]:
        """Return what a process on these hosts needs to find us: the endpoint and, for a far one, the keys' folder."""
        if self._far is None or set(hosts) <= {self._context.own_host}:
            return [self._near.endpoint]
        address = self._context.address(self._context.own_host)
        return [self._far.endpoint.replace("0.0.0.0", address), str(self._keys)]  # noqa: S104 - keys guard it

    def send(self, peer: str, message: ToBackend) -> None:
        """Send to a peer that has spoken; one that is gone gets nothing. Shared payloads stay on this host."""
        if self._far and peer in self._strangers:
            if isinstance(message, Work):
                message = msgspec.structs.replace(message, tasks=[deliver(task, "") for task in message.tasks])
            self._far.send(peer, message)
        else:
            if isinstance(message, Work):
                message = msgspec.structs.replace(message, shared_folder=self._context.shared_folder)
            self._near.send(peer, message)

    def forget(self, peer: str) -> None:
        """A far peer is gone for good."""
        self._strangers.discard(peer)
        if self._far:
            self._far.forget(peer)

    def drain(self) -> None:
        """Deliver what has arrived, now."""
        self._near.drain()
        if self._far:
            self._far.drain()

    def close(self) -> None:
        """Close both; idempotent."""
        self._near.close()
        if self._far:
            self._far.close()

    def _receive_far(self, peer: str, message: FromBackend) -> None:
        self._strangers.add(peer)
        self._receive(peer, message)
