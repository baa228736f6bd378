"""The binding end of messages between hosts (see `tcp`)."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import zmq

from rhapsody_parsl.wire.complaints import Complaints
from rhapsody_parsl.wire.curve import connection_events, quiet_socket
from rhapsody_parsl.wire.gate import Gatekeeper, Proof
from rhapsody_parsl.wire.half_open import HalfOpen
from rhapsody_parsl.wire.malformed import MalformedFrame
from rhapsody_parsl.wire.pieces import LONGEST
from rhapsody_parsl.wire.tcp import MOST_SILENT, SIGN, Bundle, Frames, Pump, packed, unpacked

__all__ = ("TcpListener",)

log = logging.getLogger(__name__)

_CUT_PAUSE = 0.05
"""Seconds between the end of a connection and the question whose it was: a stranger's ends may be many."""
_REFUSED = zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
_LONGEST_SEALED = LONGEST + 256
"""Bytes of a frame with what its encryption adds."""


class TcpListener:
    """The binding end, on an event loop: one ROUTER, peers known by name.

    Args:
        address: `tcp://host` to listen on.
        receive: Called with the peer's name and the frames of each message; it raises `MalformedFrame` about frames
            that are none, and the peer is heard no more.
        proof: Who has it may enter.
        loop: Ours.
        cut: Called when some connection has ended.
        silent: How many connections may be there from which nothing has come.
        bundles: Whether many names share a connection: what is sent within a turn of the loop travels as one.
        port: To listen at; 0 takes a free one.

    Raises:
        OSError: Somebody has the port.
    """

    def __init__(  # noqa: PLR0913 - as many facts, each from somewhere else
        self,
        address: str,
        receive: Callable[[str, list[bytes]], None],
        proof: Proof,
        loop: asyncio.AbstractEventLoop,
        *,
        cut: Callable[[], None] | None = None,
        silent: int = MOST_SILENT,
        bundles: bool = False,
        port: int = 0,
    ) -> None:
        self._context: zmq.Context[Any] = zmq.Context()
        self._receive, self._on_cut, self._loop = receive, cut, loop
        self._cut_timer: asyncio.TimerHandle | None = None
        self._routes: dict[str, bytes] = {}  # of each name the connection
        self._bundles: dict[bytes, Bundle] | None = {} if bundles else None  # of each connection that has one
        self._complaints = Complaints(log)
        self._gate = Gatekeeper(self._context, proof)
        self._socket = quiet_socket(self._context, zmq.ROUTER)
        self._socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        proof.guard(self._socket)
        self._socket.setsockopt(zmq.MAXMSGSIZE, _LONGEST_SEALED)
        self._monitor = self._socket.get_monitor_socket(zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED | _REFUSED)
        self._pumps = [
            Pump(self._gate.socket, loop, self._gate.answer),
            Pump(self._monitor, loop, self._note_connections),
        ]
        self._pump = Pump(self._socket, loop, self._take)
        self.port = self._bind(address, port)
        self.endpoint = f"{address}:{self.port}"
        self._half_open = HalfOpen(self.port, silent)

    def send(self, peer: str, frames: Frames) -> bool:
        """Send to a peer, never waiting; False when it is not there, and gets nothing."""
        route = self._routes.get(peer)
        if route is None:
            return False
        if self._bundles is None:
            return self._send(route, packed(peer, frames))
        if route not in self._bundles:
            self._bundles[route] = Bundle(self._loop, partial(self._send_bundle, route))
        self._bundles[route].add(peer, frames)
        return True

    def greet(self) -> None:
        """Give all peers a sign of life; those that are not there are forgotten."""
        for peer, route in list(self._routes.items()):
            if not self._send(route, SIGN):
                del self._routes[peer]

    def forget(self, peer: str) -> None:
        """A peer is gone for good: of the many that come in a long run nothing is kept."""
        self._routes.pop(peer, None)

    def close(self, linger: float = 0.0) -> None:
        """Close the sockets; what was sent has `linger` s to leave. Idempotent."""
        if self._socket.closed:
            return
        if self._cut_timer:
            self._cut_timer.cancel()
        self._socket.disable_monitor()
        self._socket.setsockopt(zmq.LINGER, int(linger * 1000))
        for bundle in list((self._bundles or {}).values()):
            bundle.flush()
        for pump in (self._pump, *self._pumps):
            pump.close()
        self._context.term()

    def _bind(self, address: str, port: int) -> int:
        if not port:
            return self._socket.bind_to_random_port(address)
        try:
            self._socket.bind(f"{address}:{port}")
        except zmq.ZMQError as problem:
            self.close()
            raise OSError(problem.errno, problem.strerror) from problem
        return port

    def _send(self, route: bytes, frames: Frames) -> bool:
        try:
            self._socket.send_multipart([route, *frames], zmq.NOBLOCK)
        except zmq.ZMQError:
            return False
        self._pump.due()
        return True

    def _send_bundle(self, route: bytes, frames: Frames) -> None:
        if self._bundles:
            self._bundles.pop(route, None)
        self._send(route, frames)

    def _take(self) -> None:
        for connection, arrived in self._arrived():
            try:
                said = unpacked(arrived)
            except MalformedFrame as problem:
                self._hang_up(connection, "", problem)
                continue
            for name, frames in said:
                self._hear(connection, name, frames)

    def _arrived(self) -> Iterator[tuple[bytes, list[bytes]]]:
        """Yield the messages that wait, and the connection of each."""
        with contextlib.suppress(zmq.Again):
            while not self._socket.closed:  # whoever takes one may close it
                first = self._socket.recv(zmq.NOBLOCK, copy=False)
                connection = first.bytes
                if not self._half_open.knows(connection):
                    self._note_connections()  # it has come before it spoke
                    self._half_open.spoke(connection, first.get(zmq.SRCFD))
                yield connection, self._socket.recv_multipart(zmq.NOBLOCK)

    def _hear(self, connection: bytes, name: str, frames: list[bytes]) -> None:
        self._routes[name] = connection
        try:
            if frames:
                self._receive(name, frames)
        except MalformedFrame as problem:
            self._hang_up(connection, name, problem)

    def _hang_up(self, connection: bytes, name: str, problem: MalformedFrame) -> None:
        """Tell a peer, by its connection where it has said no name, that it is heard no more."""
        self._complaints.note("a peer over TCP is heard no more: %s", problem)
        self._send(connection, packed(name))

    def _note_connections(self) -> None:
        for event, value in connection_events(self._monitor):
            if event & _REFUSED:
                self._complaints.note("a stranger on %s was refused", self.endpoint)
            elif event == zmq.EVENT_ACCEPTED:
                if self._half_open.came(value):
                    self._complaints.note("a silent stranger on %s was cut off: too many wait there", self.endpoint)
            else:
                self._ended(value)

    def _ended(self, descriptor: int) -> None:
        self._half_open.left(descriptor)
        if self._on_cut and self._cut_timer is None:
            self._cut_timer = self._loop.call_later(_CUT_PAUSE, self._tell_cut)

    def _tell_cut(self) -> None:
        self._cut_timer = None
        if self._on_cut:
            self._on_cut()
