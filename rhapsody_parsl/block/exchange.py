"""A runtime's conversation with its processes on all hosts: one hub for those of this host, one for those of others."""

from collections.abc import Callable, Iterable
from typing import NamedTuple, get_args

import msgspec

from rhapsody_parsl.block.context import Context
from rhapsody_parsl.wire.channel import Hub
from rhapsody_parsl.wire.curve import Keys
from rhapsody_parsl.wire.messages import ChildrenEnded, FromBackend, FromParent, Result, ToBackend, ToParent, Work
from rhapsody_parsl.wire.shared_memory import deliver, discard

__all__ = ("KEYS", "Exchange", "Peer")

KEYS = "keys"
"""Name of the folder of CurveZMQ keys in the private folder, on each host of a block that has several."""


_OF_PARENTS = frozenset(get_args(FromParent))


class Peer(NamedTuple):
    """A process at the other end of an exchange.

    Attributes:
        exchange: The exchange.
        name: The peer's.
    """

    exchange: "Exchange"
    name: str

    def send(self, message: ToParent) -> None:
        """Send it something, if it is there."""
        self.exchange.send(self.name, message)


class Exchange:
    """Two hubs as one: peers are known by name, wherever they are.

    Args:
        context: The block.
        name: Of the socket.
        receive: Called with peer and message for each message that arrives.
    """

    def __init__(self, context: Context, name: str, receive: Callable[[str, FromBackend], None]) -> None:
        self._context, self._name, self._receive = context, name, receive
        self._near: Hub | None = None
        self._far: Hub | None = None
        self._strangers: set[str] = set()

    def start(self) -> None:
        """Open the hubs; idempotent."""
        self._near = self._near or Hub(f"ipc://{self._context.folder}/{self._name}", self._take)
        if self._context.hosts and self._far is None:
            cores = sum(len(node.cores) for node in self._context.nodes.values())
            self._far = Hub("tcp://0.0.0.0", self._receive_far, Keys.load(self._context.folder / KEYS), peers=cores)

    @property
    def folder(self) -> str:
        """The private folder, by the same name on every host of the block."""
        return str(self._context.folder)

    def arguments(self, hosts: Iterable[str]) -> list[str]:
        """Return what a process on these hosts needs to find us: the endpoint and, for a far one, the keys' folder.

        Raises:
            RuntimeError: It is not open: nobody could find it.
        """
        own = self._context.own_host
        if self._far and not set(hosts) <= {own}:
            endpoint = self._far.endpoint.replace("0.0.0.0", self._context.address(own))  # noqa: S104 - keys guard it
            return [endpoint, str(self._context.folder / KEYS)]
        if self._near is None:
            raise RuntimeError(f"exchange {self._name} has to be started first")
        return [self._near.endpoint]

    def send(self, peer: str, message: ToBackend) -> None:
        """Send to a peer that has spoken; one that is gone gets nothing. Shared payloads stay on this host."""
        far = peer in self._strangers
        if isinstance(message, Work):
            if far:
                message = msgspec.structs.replace(message, tasks=[deliver(task, "") for task in message.tasks])
            else:
                message = msgspec.structs.replace(message, shared_folder=self._context.shared_folder)
        elif far and isinstance(message, ChildrenEnded):
            message = ChildrenEnded([_taken(result) for result in message.results])
        if hub := self._far if far else self._near:
            hub.send(peer, message)

    def forget(self, peer: str) -> None:
        """A far peer is gone for good."""
        self._strangers.discard(peer)
        if self._far:
            self._far.forget(peer)

    def drain(self) -> None:
        """Deliver what has arrived, now."""
        for hub in self._open():
            hub.drain()

    def stop(self) -> None:
        """Close the hubs; idempotent."""
        for hub in self._open():
            hub.close()
        self._near = self._far = None

    def _open(self) -> list[Hub]:
        return [hub for hub in (self._near, self._far) if hub]

    def _receive_far(self, peer: str, message: FromBackend) -> None:
        self._strangers.add(peer)
        self._take(peer, message)

    def _take(self, peer: str, message: FromBackend) -> None:
        """What a task's process says of tasks of its own is for the pilot, whoever has the process."""
        if type(message) in _OF_PARENTS:
            self._context.parents(Peer(self, peer), message)
        else:
            self._receive(peer, message)


def _taken(result: Result) -> Result:
    """Return a result for another host; its file here is gone then."""
    sent = deliver(result, "")
    discard(result)
    return sent
