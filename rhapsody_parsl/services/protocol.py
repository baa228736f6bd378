"""What a kind of service must offer. All else is written once, for every kind."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from rhapsody_parsl.in_block.context import Placed
from rhapsody_parsl.service_config import ServiceConfig
from rhapsody_parsl.services.settings import Settings
from rhapsody_parsl.wire.messages import ServiceFacts, ToBackend

__all__ = ("Kind", "Program")


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """What one process of a replica is started with.

    Attributes:
        argv: Program and arguments; no secret, for everyone on a node can read them.
        env: Variables added to the block's; None removes one.
        files: Private files written before, by path.
        grace: Seconds between SIGTERM and SIGKILL.
    """

    argv: list[str]
    env: Mapping[str, str | None] = {}
    files: Mapping[str, str] = {}
    grace: float = 3.0


class Kind(Protocol):
    """One service, as its kind sees it.

    The program that it names is the replica's own half: it holds a `Conversation` with the pilot, tells by it that the
    service is ready and why it leaves, and lets SIGTERM stop the service.
    """

    @property
    def name(self) -> str:
        """The kind's name, for people and the record of leases."""

    @property
    def config(self) -> ServiceConfig:
        """The user's service."""

    @property
    def what(self) -> str:
        """What is served, for people."""

    async def check(self) -> None:
        """Find in a second what would make every start fail.

        Raises:
            RhapsodyError: Something would, with the remedy.
        """

    def command(self, settings: Settings, part: Placed | None, folder: Path) -> Program:
        """Return what to start on one node of a replica.

        Args:
            settings: What its process is to know; a kind may add to it.
            part: The node's part of the replica's lease, None when it takes none.
            folder: Private, on the disk of the process's host; removed with the process.
        """

    def address(self, facts: ServiceFacts, secret: str) -> dict[str, str]:
        """Return the fields of `rhapsody_parsl.Service` that tasks find beside the address.

        Args:
            facts: What the process of a replica that is ready said of it.
            secret: The service's.
        """

    def adapt(self, config: ServiceConfig, unload: Sequence[str] = ()) -> ToBackend | None:
        """Take what can change of a service while it runs; replicas that start from now on have it so.

        Args:
            config: The user's, as it is now.
            unload: Adapters that replicas are to forget.

        Returns:
            What each replica that is ready is to be told, None for nothing.

        Raises:
            ServiceFailed: It cannot be so; nothing has changed.
        """

    def complaint(self, log: str, reason: str, was_ready: bool) -> str | None:
        """Return what a log says of a failure, "" to show nothing of it, None to show its end.

        Args:
            log: Its end.
            reason: What the process itself said, "" when it said nothing.
            was_ready: Whether it had been ready.
        """
