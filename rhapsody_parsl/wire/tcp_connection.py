"""The connecting end of messages between hosts (see `tcp`)."""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import zmq

from rhapsody_parsl.wire.curve import connection_events, quiet_socket
from rhapsody_parsl.wire.gate import Proof
from rhapsody_parsl.wire.malformed import MalformedFrame
from rhapsody_parsl.wire.tcp import Frames, Pump, Said, packed, unpacked

__all__ = ("AsyncTcpConnection",)

log = logging.getLogger(__name__)

_LEAST = 200
"""Milliseconds."""
_MOMENT = 0.5
"""Seconds that the end of a connection may take; longer takes one that looks up a name, which may hang."""


class AsyncTcpConnection:
    """The connecting end, on an event loop.

    Args:
        address: The listener's.
        name: Ours.
        proof: The listener's.
        loop: Ours.
        receive: Called with the frames of each message.
        connected: Called with True when the connection is there (again), False when it is not.
        hung_up: Called when the listener will hear us no more.
        patience: Seconds after which a connection that confirms nothing is given up for a new one; 0: the system's.
        pass_on: Called with the name and the frames of each message that is for another one.

    Attributes:
        heard: How often something has come.
    """

    def __init__(  # noqa: PLR0913 - as many facts, each from somewhere else
        self,
        address: str,
        name: str,
        proof: Proof,
        loop: asyncio.AbstractEventLoop,
        *,
        receive: Callable[[list[bytes]], None],
        connected: Callable[[bool], None],
        hung_up: Callable[[], None],
        patience: float = 0.0,
        pass_on: Callable[[str, list[bytes]], None] = lambda _name, _frames: None,
    ) -> None:
        self._loop, self._patience = loop, patience
        self._receive, self._connected, self._hung_up, self._pass_on = receive, connected, hung_up, pass_on
        self._name, self.heard = name, 0
        self._open(address, proof)

    def _open(self, address: str, proof: Proof) -> None:
        """Connect, in a context of its own, whose thread looks up names."""
        self._context: zmq.Context[Any] = zmq.Context()
        self._socket = quiet_socket(self._context, zmq.DEALER)
        self._socket.setsockopt(zmq.IMMEDIATE, 1)
        if self._patience:
            _be_quick(self._socket, max(_LEAST, int(self._patience * 1000)))
        proof.unlock(self._socket)
        self._monitor = self._socket.get_monitor_socket(zmq.EVENT_DISCONNECTED | zmq.EVENT_HANDSHAKE_SUCCEEDED)
        self._socket.connect(address)
        self._pump = Pump(self._socket, self._loop, self._take)
        self._watch = Pump(self._monitor, self._loop, self._note_connection)

    def send(self, frames: Frames) -> bool:
        """Send, never waiting; False when the connection is down."""
        return self.send_packed(packed(self._name, frames))

    def send_packed(self, frames: Frames) -> bool:
        """Send what may be messages of others, too."""
        try:
            self._socket.send_multipart(frames, zmq.NOBLOCK)
        except zmq.ZMQError:  # there is none just now, or no more
            return False
        self._pump.due()
        return True

    def turn(self, address: str, proof: Proof) -> None:
        """Be connected to another listener."""
        self._shut(0.0, within=0.0)
        self._open(address, proof)

    def close(self, linger: float = 0.0) -> None:
        """Close; what was sent has `linger` s to leave. Idempotent."""
        if not self._socket.closed:
            self._shut(linger, within=linger + _MOMENT)

    def _shut(self, linger: float, within: float) -> None:
        """Close the socket, and wait for its end so long: a thread waits on."""
        self._socket.setsockopt(zmq.LINGER, int(linger * 1000))
        self._socket.disable_monitor()
        self._watch.close()
        self._pump.close()
        ending = threading.Thread(target=self._context.term, name="end of a connection", daemon=True)
        try:
            ending.start()
            ending.join(within)
        except RuntimeError:  # no thread can be had
            self._context.term()

    def _take(self) -> None:
        for arrived in _arrived(self._socket):
            self.heard += 1
            for name, frames in self._unpacked(arrived):
                if name not in (self._name, ""):
                    self._pass_on(name, frames)
                elif frames:
                    self._receive(frames)
                else:
                    self._hung_up()

    def _unpacked(self, arrived: list[bytes]) -> list[Said]:
        """Return what has come; where it is no message the listener is none of ours, and as good as gone."""
        try:
            return unpacked(arrived)
        except MalformedFrame as problem:
            log.warning("the other end is heard no more: %s", problem)
            return [(self._name, [])]

    def _note_connection(self) -> None:
        for event, _ in connection_events(self._monitor):
            self._connected(event == zmq.EVENT_HANDSHAKE_SUCCEEDED)


def _be_quick(socket: "zmq.Socket[bytes]", patience: int) -> None:
    """Have a connection made anew soon, also when nobody answers; in milliseconds."""
    socket.setsockopt(zmq.TCP_MAXRT, patience)
    socket.setsockopt(zmq.CONNECT_TIMEOUT, max(_LEAST, patience // 2))
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, max(_LEAST, patience // 4))


def _arrived(socket: "zmq.Socket[bytes]") -> Iterator[list[bytes]]:
    """Yield the messages that wait."""
    with contextlib.suppress(zmq.Again):
        while not socket.closed:  # whoever takes one may close it
            yield socket.recv_multipart(zmq.NOBLOCK)
