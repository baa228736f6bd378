"""The product's agent over workers that are objects, and its host: it comes when it is carried, and can be cut or killed."""

import asyncio
import contextlib
import os
import signal
from functools import partial
from pathlib import Path
from typing import Any, cast

import msgspec
import zmq

from benchmarks.library.emulation.workers import Delay, Workers
from rhapsody_parsl.agents.agent import NodeAgent
from rhapsody_parsl.agents.processes import Processes
from rhapsody_parsl.agents.relay import Relay
from rhapsody_parsl.agents.words import Environment, Settings, ToAgent
from rhapsody_parsl.hosts.probe import HostFacts
from rhapsody_parsl.wire import tcp_connection

__all__ = ("EmulatedHost", "share_threads")


class _Shared(zmq.Context[Any]):
    """A context of ZeroMQ's that no connection may end, for others use it too."""

    def term(self) -> None:
        """Leave it."""


def share_threads() -> None:
    """Have all connections of this process share two threads of ZeroMQ's: a thousand hosts would have two thousand."""
    shared = _Shared()
    shared.set(zmq.MAX_SOCKETS, shared.get(zmq.SOCKET_LIMIT))
    tcp_connection.zmq.Context = lambda: shared  # type: ignore[assignment, misc, return-value]  # of this process alone


class _Agent(NodeAgent):
    """An agent that starts objects, and puts nothing into the private folder: the pilot's has the same name here."""

    def __init__(self, settings: Settings, delay: Delay) -> None:
        super().__init__(settings, "", -1)
        self.workers = Workers(self._tell, self._say, settings.host, delay)
        self._processes, self._relay = cast(Processes, self.workers), cast(Relay, self.workers)

    def cut(self, seconds: float) -> None:
        """End the connection, and let no other one be made for a while."""
        socket, address = self._connection._socket, self._settings.address
        socket.disconnect(address)
        asyncio.get_running_loop().call_later(seconds, socket.connect, address)

    def _do(self, order: ToAgent, frames: list[bytes]) -> None:
        if not isinstance(order, Environment):
            super()._do(order, frames)


class EmulatedHost:
    """One host.

    Args:
        name: Its name.
        folder: Where its carrier finds it: a named pipe of its name.
        facts: What it offers.
        delay: How long tasks take there.
    """

    def __init__(self, name: str, folder: Path, facts: HostFacts, delay: Delay) -> None:
        self._name, self._facts, self._delay = name, facts, delay
        self._loop = asyncio.get_running_loop()
        self._pipe = os.open(folder / name, os.O_RDWR | os.O_NONBLOCK)  # both, so that it never ends
        self._said = b""
        self._agent: _Agent | None = None
        self._life: asyncio.Task[None] | None = None
        self._loop.add_reader(self._pipe, self._hear)

    def go_on(self) -> None:
        """No worker is held any more."""
        if self._agent:
            self._agent.workers.go_on()

    def cut(self, seconds: float) -> None:
        """Cut it off for a while."""
        if self._agent:
            self._agent.cut(seconds)

    def kill(self) -> None:
        """End all that is there at once, without a word; what carried it ends, too."""
        if self._life:
            self._life.cancel()

    def _hear(self) -> None:
        """A carrier says its process id, and what the agent is to know, a line each."""
        self._said += os.read(self._pipe, 1 << 16)
        if self._said.count(b"\n") < 2:  # noqa: PLR2004 - as said
            return
        pid, line, self._said = self._said.split(b"\n", 2)
        settings = msgspec.json.decode(line, type=Settings)
        port = settings.address.rpartition(":")[2]
        settings = msgspec.structs.replace(settings, address=f"tcp://127.0.0.1:{port}")
        self._life = self._loop.create_task(self._live(settings, int(pid)), name=self._name)

    async def _live(self, settings: Settings, carrier: int) -> None:
        watch = os.pidfd_open(carrier)
        agent = self._agent = _Agent(settings, self._delay)
        self._loop.add_reader(watch, partial(agent.leave, "what carries it has exited"))
        try:
            await agent.serve(self._facts)
        finally:
            self._loop.remove_reader(watch)
            os.close(watch)
            self._agent = None
            agent.close()
            with contextlib.suppress(ProcessLookupError):
                os.kill(carrier, signal.SIGKILL)
