"""The pilot's end of the line to the driver: numbered, encrypted, cut and resumed."""

import asyncio
import socket as sockets
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlparse

import zmq

from rhapsody_parsl.errors import RhapsodyError
from rhapsody_parsl.wire.codec import Codec, encode
from rhapsody_parsl.wire.curve import Keys, connection_events, quiet_socket
from rhapsody_parsl.wire.messages import FromPilot, ToPilot
from rhapsody_parsl.wire.session import Session

__all__ = ("DriverUnreachable", "Link", "find_driver")

_PROBE_TIMEOUT = 3.0
_REFUSALS = 4


class DriverUnreachable(RhapsodyError):  # noqa: N818 - named for what happened, as all our errors are
    """None of the driver's addresses answers from here."""

    def sentence(self) -> str:
        """Name the addresses and the setting."""
        return (
            f"No address of the driver answers from {sockets.gethostname()}: {', '.join(self.args[0])}. "
            "Give RhapsodyExecutor(address=...) one that the nodes of the block can reach."
        )


async def find_driver(addresses: Sequence[str]) -> str:
    """Return the first of the addresses that takes a connection.

    Args:
        addresses: `tcp://host:port`.

    Raises:
        DriverUnreachable: None does.
    """
    for address in addresses:
        if await _probe(address) == "open":
            return address
    raise DriverUnreachable(list(addresses))


async def _probe(address: str) -> str:
    """Return `open`, `refused` (a host without our driver answers) or `silent`."""
    url = urlparse(address)
    try:
        async with asyncio.timeout(_PROBE_TIMEOUT):
            _, writer = await asyncio.open_connection(url.hostname, url.port)
    except ConnectionRefusedError:
        return "refused"
    except OSError:
        return "silent"
    writer.close()
    return "open"


class Link:
    """One end of the driver's conversation, on the event loop.

    Args:
        address: The driver's.
        block: Our name.
        keys: For encryption.
        receive: Called with each message.
        lost: Called once, with the reason, when the driver is gone for good.
        period: Seconds between heartbeats.
        threshold: Seconds of silence after which the driver counts as lost.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - as many facts, each from somewhere else
        self,
        address: str,
        block: str,
        keys: Keys | None,
        receive: Callable[[ToPilot], None],
        lost: Callable[[str], None],
        period: float,
        threshold: float,
    ) -> None:
        self._address, self._receive, self._lost = address, receive, lost
        self._period, self._threshold = period, threshold
        self._loop = asyncio.get_running_loop()
        self._context: zmq.Context[Any] = zmq.Context()
        self._session = Session()
        self._codec: Codec[ToPilot] = Codec(ToPilot)
        self._socket = quiet_socket(self._context, zmq.DEALER)
        self._socket.setsockopt(zmq.IDENTITY, block.encode())
        self._socket.setsockopt(zmq.LINGER, 2000)
        self._socket.setsockopt(zmq.IMMEDIATE, 1)
        if keys:
            keys.unlock(self._socket)
        self._monitor = self._socket.get_monitor_socket(zmq.EVENT_DISCONNECTED | zmq.EVENT_HANDSHAKE_SUCCEEDED)
        self._socket.connect(address)
        self._heard = self._loop.time()
        self._pumping = False
        self._cut = False
        self._fd = self._socket.fileno()
        self._loop.add_reader(self._fd, self._pump)
        self._loop.add_reader(self._monitor.fileno(), self._note_connection)
        # a ZeroMQ descriptor says nothing before its socket was once found empty
        self._loop.call_soon(self._pump)
        self._loop.call_soon(self._note_connection)
        self._tasks = [asyncio.create_task(self._beat(), name="heartbeat")]

    def send(self, message: FromPilot) -> None:
        """Send a message; it arrives, once, in order, even if the line is cut meanwhile."""
        self._put(self._session.send(encode(message)))

    def close(self) -> None:
        """Close; what was sent has 2 s to leave."""
        if self._socket.closed:
            return
        for task in self._tasks:
            task.cancel()
        self._loop.remove_reader(self._fd)
        self._loop.remove_reader(self._monitor.fileno())
        self._socket.disable_monitor()
        self._monitor.close()
        self._socket.close()
        self._context.term()

    def _put(self, frames: list[bytes]) -> None:
        try:
            self._socket.send_multipart(frames, zmq.NOBLOCK)
        except zmq.Again:
            return  # the line is down; the session sends it again when the line is back
        if not self._pumping:  # ZeroMQ's descriptor is edge-triggered, and a send can swallow the edge
            self._pumping = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        self._pumping = False
        while not self._socket.closed:
            try:
                frames = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            self._heard = self._loop.time()
            for body in self._session.receive(frames):
                self._receive(self._codec.decode(body))
            for reply in self._session.replies:
                self._put(reply)
            self._session.replies.clear()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._period)
            self._put(self._session.beat())
            if self._loop.time() - self._heard > self._threshold:
                self._lost(f"the driver was silent for {self._threshold:g} s")
                return

    def _note_connection(self) -> None:
        if self._monitor.closed:
            return
        for event in connection_events(self._monitor):
            if event == zmq.EVENT_DISCONNECTED and not self._cut:
                self._cut = True
                self._tasks.append(asyncio.create_task(self._ask_whether_gone(), name="probe driver"))
            elif event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self._cut = False
                self._heard = self._loop.time()
                self._put(self._session.beat())

    async def _ask_whether_gone(self) -> None:
        """Tell a driver that ended (its host refuses the port) from a line that is cut (nobody answers)."""
        refusals = 0
        while self._cut:
            refusals = refusals + 1 if await _probe(self._address) == "refused" else 0
            if refusals >= _REFUSALS:
                self._lost("the driver has ended")
                return
            await asyncio.sleep(0.5)
