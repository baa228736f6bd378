"""A runtime's conversation with its processes on all hosts: by a hub on this one, through the node agents on others."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, get_args

import msgspec

from rhapsody_parsl.agents.cutting import SMALLEST_PIECE
from rhapsody_parsl.agents.host import Host
from rhapsody_parsl.agents.large_payloads import folder_of
from rhapsody_parsl.hosts.data_place import payloads_of
from rhapsody_parsl.in_block.context import Context
from rhapsody_parsl.wire.channel import Hub, heard
from rhapsody_parsl.wire.codec import Codec, encode
from rhapsody_parsl.wire.malformed import MalformedFrame
from rhapsody_parsl.wire.messages import (
    ChildrenEnded,
    Deliver,
    FromBackend,
    FromParent,
    ToBackend,
    ToParent,
    Work,
)
from rhapsody_parsl.wire.shared_memory import deliver, moved
from rhapsody_parsl.wire.value_messages import OfValues, ValueHere

__all__ = ("Exchange", "Peer")


_OF_PARENTS = frozenset((*get_args(FromParent), *get_args(OfValues)))


class Peer(NamedTuple):
    """A process at the other end of an exchange.

    Attributes:
        exchange: The exchange.
        name: The peer's.
    """

    exchange: "Exchange"
    name: str

    @property
    def host(self) -> Host | None:
        """Where it is; None on this host."""
        return self.exchange.host_of(self.name)

    def send(self, message: ToParent | ValueHere) -> None:
        """Send it something, if it is there."""
        self.exchange.send(self.name, message)


class Exchange:
    """Peers known by name, wherever they are; on each host they find us at the same path.

    Args:
        context: The block.
        name: Of the socket.
        receive: Called with peer and message for each message that arrives.
        after: Another one: what is said here comes after all that was said there on the same host.
        left: Called with each peer on another host that speaks no more; of those here their runtime knows.
    """

    def __init__(
        self,
        context: Context,
        name: str,
        receive: Callable[[str, FromBackend], None],
        *,
        after: "Exchange | None" = None,
        left: Callable[[str], None] | None = None,
    ) -> None:
        self._context, self._name, self._receive, self._after = context, name, receive, after
        self._left, self._payloads = left, payloads_of(self.folder)
        self._codec: Codec[FromBackend] = Codec(FromBackend)
        self._near: Hub | None = None
        self._far: dict[str, Host] = {}

    def start(self) -> None:
        """Open it on all hosts; idempotent."""
        if self._near is None:
            receive = self._receive_after if self._after else self._take
            self._near = Hub(f"ipc://{self._context.folder}/{self._name}", receive)
            after = self._after._name if self._after else ""
            for host in self._context.hosts.values():
                host.open(self._name, partial(self._receive_far, host), after)

    @property
    def folder(self) -> str:
        """The private folder, by the same name on every host of the block."""
        return str(self._context.folder)

    @property
    def endpoint(self) -> str:
        """Where a process of any host finds us.

        Raises:
            RuntimeError: It is not open: nobody could find it.
        """
        if self._near is None:
            raise RuntimeError(f"exchange {self._name} has to be started first")
        return self._near.endpoint

    def send(self, peer: str, message: ToBackend) -> None:
        """Send to a peer that has spoken; one that is gone gets nothing. Shared payloads stay on this host."""
        if host := self._far.get(peer):
            self._send_far(host, peer, message)
        elif self._near:
            if isinstance(message, Work | Deliver):
                message = msgspec.structs.replace(message, shared_folder=self._context.shared_folder)
            self._near.send(peer, message)

    def _send_far(self, host: Host, peer: str, message: ToBackend) -> None:
        """Send to a peer on another host: with the payloads, and where large ones lie there."""
        if isinstance(message, Work | Deliver):
            folder = folder_of(self._payloads, self._name, peer)
            tasks = [deliver(task, "") for task in message.tasks]
            told = msgspec.structs.replace(message, tasks=tasks, shared_folder=folder)
            host.send_tasks(self._name, peer, encode(told, SMALLEST_PIECE))
            return
        if isinstance(message, ChildrenEnded):
            message = ChildrenEnded([moved(result) for result in message.results])
        host.send(self._name, peer, encode(message))

    def host_of(self, peer: str) -> Host | None:
        """Return where a peer is that speaks, or is expected; None on this host."""
        return self._far.get(peer)

    def expect(self, peer: str, host: Host) -> None:
        """A peer of this name will speak on another host; who has many keeps each name once this way."""
        self._far[peer] = host

    def forget(self, peer: str) -> None:
        """A far peer is gone for good."""
        self._far.pop(peer, None)

    def drain(self) -> None:
        """Deliver what has arrived, now; an agent does so before it tells of an exit."""
        if self._near:
            self._near.drain()

    def stop(self) -> None:
        """Close it; idempotent."""
        if self._near:
            self._near.close()
        self._near = None

    def _receive_after(self, peer: str, message: FromBackend) -> None:
        if self._after:
            self._after.drain()
        self._take(peer, message)

    def _receive_far(self, host: Host, peer: str, frames: list[bytes]) -> None:
        if not frames:
            if self._left:
                self._left(peer)
            self.forget(peer)
            return
        try:
            message = self._codec.decode(frames)
            self._far[peer] = host
            heard(self._take, peer, message)
        except MalformedFrame:
            host.hang_up(self._name, peer)

    def _take(self, peer: str, message: FromBackend) -> None:
        """What a task's process says of tasks of its own, and of values, is for the pilot, whoever has the process."""
        if type(message) in _OF_PARENTS:
            self._context.parents(Peer(self, peer), message)
        else:
            self._receive(peer, message)
