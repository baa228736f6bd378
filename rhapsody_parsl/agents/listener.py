"""Where the node agents of a block come in: one port, and one connection of each."""

import asyncio
import os
import socket
import sys
from collections.abc import Callable, Mapping
from itertools import count

import msgspec

from rhapsody_parsl.agents.line import Line
from rhapsody_parsl.agents.shelf import Repeats
from rhapsody_parsl.agents.spread import spread
from rhapsody_parsl.agents.tree import STAR, Tree
from rhapsody_parsl.agents.words import FromAgent, Settings
from rhapsody_parsl.hosts import staging
from rhapsody_parsl.wire.curve import Keys
from rhapsody_parsl.wire.malformed import MalformedFrame
from rhapsody_parsl.wire.tcp import MOST_SILENT
from rhapsody_parsl.wire.tcp_listener import TcpListener

__all__ = ("AgentListener",)

HELLO_WITHIN = 60.0
"""Seconds that an agent may take to come."""
_UNPACK_WITHIN = 600.0
"""Seconds that it may take longer where it unpacks an environment before."""


class AgentListener:
    """The pilot's end of all agents' connections; opened on the event loop.

    Args:
        address: What other hosts call this one.
        hosts: How many may come at once.
        period: Seconds between heartbeats.
        threshold: Seconds of silence after which an agent counts as lost.
        bind: Where to listen.
        use_every: Seconds between two words of an agent on how much its host works; 0 wants none.
        tree: Which agents come by others.

    Attributes:
        hello_within: Seconds that an agent may take to come.
        repeats: Pieces of payloads that were sent to any agent.
        address: As given.
        tree: As given.
    """

    def __init__(  # noqa: PLR0913 - as many facts, each from somewhere else
        self,
        address: str,
        hosts: int,
        *,
        period: float,
        threshold: float,
        bind: str = "tcp://0.0.0.0",
        use_every: float = 0.0,
        tree: Tree = STAR,
    ) -> None:
        self.address, self._period, self._threshold = address, period, threshold
        self._use_every, self._bind, self.tree = use_every, bind, tree
        self._gateways_port = _free_port() if tree.gateways else 0
        self._keys, self._archive = Keys.fresh(), staging.archive_of(os.environ)
        self.hello_within = HELLO_WITHIN + (_UNPACK_WITHIN if self._archive else 0.0)
        self.hello_within += threshold + 2 * period if tree.gateways else 0.0  # to find that a gateway is not there
        self.repeats = Repeats()
        self._spread = spread(self._archive, address, self.word) if self._archive else None
        self._lines: dict[str, Line[FromAgent]] = {}
        self._numbers = count(1)
        self._listener = TcpListener(
            bind, self._hear, self._keys, asyncio.get_running_loop(),
            cut=self._ask_all, silent=MOST_SILENT + tree.connections(hosts), bundles=bool(tree.gateways),
        )  # fmt: skip

    def expect(
        self, host: str, receive: Callable[[FromAgent, list[bytes]], None], lost: Callable[[str], None]
    ) -> tuple[Line[FromAgent], str]:
        """Expect an agent.

        Args:
            host: Where it will be.
            receive: Called with each word of it, and the frames that belong to it.
            lost: Called once, with the reason, when it is gone for good.

        Returns:
            The line to it, and its name, with which it is to come.
        """
        name = f"{host}/{next(self._numbers)}"
        line: Line[FromAgent] = Line(
            FromAgent,
            post=lambda frames: self._listener.send(name, frames),
            receive=receive,
            lost=lost,
            period=self._period,
            threshold=self._threshold,
            grace=self.hello_within,
        )
        self._lines[name] = line
        return line, name

    def settings(self, names: Mapping[str, str]) -> bytes:
        """Return the line that agents are told first.

        Args:
            names: The name of each, by its host.
        """
        owns = {host: self._own(host, name) for host, name in names.items()}
        host, own = owns.popitem() if len(owns) == 1 else ("", {"name": ""})
        server, client = self._keys.server, self._keys.client
        settings = Settings(
            address=f"tcp://{self.address}:{self._listener.port}",
            host=host,
            keys=(server[0].decode(), client[0].decode(), client[1].decode()),
            period=self._period,
            threshold=self._threshold,
            path=sys.path,
            python=sys.executable if self._archive else "",
            archive=self._archive,
            source=self._spread.source if self._spread else "",
            own=owns,
            use_every=self._use_every,
            **own,
        )
        return msgspec.json.encode(settings) + b"\n"

    def _own(self, host: str, name: str) -> dict[str, str]:
        """Return what is an agent's own of its settings."""
        gateway = self.tree.gateways.get(host, "")
        if not gateway:
            return {"name": name}
        if gateway == host:
            return {"name": name, "listens": f"{self._bind}:{self._gateways_port}"}
        return {"name": name, "gateway": f"tcp://{gateway}:{self._gateways_port}"}

    @property
    def word(self) -> bytes:
        """What all hosts of the block know, and show each other: the agents' secret key."""
        return self._keys.client[1]

    def dismiss(self, line: Line[FromAgent]) -> None:
        """Hear an agent no more; it is told so when it speaks again."""
        line.close()
        for name in [name for name, other in self._lines.items() if other is line]:
            del self._lines[name]
            self._listener.forget(name)

    def close(self) -> None:
        """Hear nobody any more; idempotent."""
        for line in list(self._lines.values()):
            self.dismiss(line)
        self._listener.close()
        if self._spread:
            self._spread.close()

    def _hear(self, name: str, frames: list[bytes]) -> None:
        line = self._lines.get(name)
        if line is None:
            raise MalformedFrame("an agent that was given up has spoken")
        line.hear(frames)

    def _ask_all(self) -> None:
        """Some connection was cut: whose agent is there again soon asks for what it lacks."""
        for line in self._lines.values():
            line.beat()


def _free_port() -> int:
    """Return a port that is free here: so it is on other hosts, most likely."""
    with socket.create_server(("", 0)) as listener:
        return int(listener.getsockname()[1])
