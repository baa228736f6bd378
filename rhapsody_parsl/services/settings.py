"""What the pilot's half tells a process of a replica, in a private file: it holds the service's secret."""

from pathlib import Path
from typing import Self

import msgspec

from rhapsody_parsl.wire.channel import Spoke
from rhapsody_parsl.wire.engine_messages import Rendezvous

__all__ = ("Settings",)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """One start of one replica; a kind adds what its processes need.

    Attributes:
        name: The service's.
        endpoint: The pilot's hub.
        peer: Our name there, another one with every start.
        host: Where the server listens.
        public_host: Under which name other nodes of the block find it.
        port: The port to listen on, or 0 for a free one; taken again by a restart where possible.
        secret: Generated for the service.
        hosts: Those of the replica's nodes, in order; the head stands on the first.
        rank: Which of the nodes the process is for: 0 for the head.
        rendezvous: Where the processes of a replica over several nodes meet; the head finds it, the members are told.
    """

    name: str
    endpoint: str
    peer: str
    host: str
    public_host: str
    port: int
    secret: str
    hosts: tuple[str, ...] = ()
    rank: int = 0
    rendezvous: Rendezvous | None = None

    def text(self) -> str:
        """Return the file's text; it is for its owner only."""
        return msgspec.json.encode(self).decode()

    def spoke(self) -> Spoke:
        """Connect to the pilot."""
        return Spoke(self.endpoint, self.peer)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read such a file."""
        return msgspec.json.decode(path.read_bytes(), type=cls)
