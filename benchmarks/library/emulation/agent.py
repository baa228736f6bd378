"""The product's agent over workers that are objects; it can be cut off, or killed."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import zmq

from benchmarks.library.emulation.workers import Delay, Workers
from rhapsody_parsl.agents.agent import NodeAgent
from rhapsody_parsl.agents.processes import Processes
from rhapsody_parsl.agents.relay import Relay
from rhapsody_parsl.agents.words import Environment, KeepValues, Settings, ToAgent
from rhapsody_parsl.wire import tcp_connection
from rhapsody_parsl.wire.curve import Keys
from rhapsody_parsl.wire.tcp_connection import AsyncTcpConnection

__all__ = ("EmulatedAgent", "share_threads")


class _Shared(zmq.Context[Any]):
    """A context of ZeroMQ's that no connection may end, for others use it too."""

    def term(self) -> None:
        """Leave it."""


def share_threads() -> None:
    """Have all connections of this process share two threads of ZeroMQ's: a thousand hosts would have two thousand.

    Those who let others in have their own: there is one in each context that says who may enter.
    """
    shared = _Shared()
    shared.set(zmq.MAX_SOCKETS, shared.get(zmq.SOCKET_LIMIT))
    tcp_connection.zmq = SimpleNamespace(**{**vars(zmq), "Context": lambda: shared})  # type: ignore[assignment, attr-defined]  # of this process alone


class EmulatedAgent(NodeAgent):
    """The agent of one host; it puts nothing into the private folder: the pilot's has the same name here.

    Args:
        settings: From the pilot.
        delay: How long tasks take.

    Attributes:
        workers: Those of the host.
    """

    def __init__(self, settings: Settings, delay: Delay) -> None:
        super().__init__(settings, "", -1)
        self.workers = Workers(self._tell, self._say, settings.host, delay)
        self._processes, self._relay = cast(Processes, self.workers), cast(Relay, self.workers)

    def cut(self, seconds: float) -> None:
        """End the connection, and let no other one be made for a while."""
        connection, wanted = self._connection, list[tuple[str, Keys]]()
        connection._socket.disconnect(_address(connection))
        connection.turn = lambda *way: wanted.append(way)  # type: ignore[method-assign]  # until then
        asyncio.get_running_loop().call_later(seconds, self._join, connection, wanted)

    def _join(self, connection: AsyncTcpConnection, wanted: list[tuple[str, Keys]]) -> None:
        del connection.turn
        if connection._socket.closed:
            return
        if wanted:
            connection.turn(*wanted[-1])
        else:
            connection._socket.connect(_address(connection))

    def _do(self, order: ToAgent, frames: list[bytes]) -> None:
        if not isinstance(order, Environment | KeepValues):
            super()._do(order, frames)


def _address(connection: AsyncTcpConnection) -> str:
    return str(connection._socket.getsockopt_string(zmq.LAST_ENDPOINT))
