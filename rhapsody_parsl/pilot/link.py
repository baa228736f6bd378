"""The pilot's end of the link to the driver: numbered, encrypted, cut and resumed."""

import asyncio
import logging
import secrets
import socket as sockets
from collections.abc import Callable, Sequence
from urllib.parse import urlparse

from rhapsody_parsl.errors import RhapsodyError
from rhapsody_parsl.hosts.background import spawn
from rhapsody_parsl.wire.codec import Codec, encode
from rhapsody_parsl.wire.gate import Proof, Token
from rhapsody_parsl.wire.malformed import MalformedFrame
from rhapsody_parsl.wire.messages import FromPilot, ToPilot
from rhapsody_parsl.wire.session import Session
from rhapsody_parsl.wire.stream import AsyncStreamConnection, reachable
from rhapsody_parsl.wire.tcp_connection import AsyncTcpConnection

__all__ = ("DriverUnreachable", "Link", "find_driver")

log = logging.getLogger(__name__)

_PROBE_TIMEOUT = 3.0
_REFUSALS = 4
_LINGER = 2.0
_MUCH = 1 << 20
"""Bytes."""
_LOCAL = "ipc://"
_ENDED = "the driver has ended"
_HUNG_UP = "the driver hears us no more: it has given this block up, or could not read what we said"


class DriverUnreachable(RhapsodyError):  # noqa: N818 - named for what happened, as all our errors are
    """None of the driver's addresses answers from here."""

    def sentence(self) -> str:
        """Name the addresses and the setting."""
        return (
            f"No address of the driver answers from {sockets.gethostname()}: {', '.join(self.args[0])}. "
            "Give RhapsodyExecutor(address=...) one that the nodes of the block can reach."
        )


async def find_driver(addresses: Sequence[str]) -> str:
    """Return one of the addresses that takes a connection: a local one, else the first to answer.

    Args:
        addresses: `ipc://@name` or `tcp://host:port`.

    Raises:
        DriverUnreachable: None does.
    """
    far = [address for address in addresses if not address.startswith(_LOCAL)]
    for address in addresses:
        if address not in far and await _probe(address) == "open":
            return address
    probes = {asyncio.create_task(_probe(address)): address for address in far}
    pending = set(probes)
    try:
        while pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for probe in done:
                if probe.result() == "open":
                    return probes[probe]
    finally:
        for probe in pending:
            probe.cancel()
    raise DriverUnreachable(far)


async def _probe(address: str) -> str:
    """Return `open`, `refused` (a host without our driver answers) or `silent`."""
    if address.startswith(_LOCAL):
        return "open" if reachable(address.removeprefix(_LOCAL)) else "refused"
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
        block: Our number; a pilot that is started again under it is another one.
        proof: Of connections between hosts.
        token: Of connections within the driver's.
        receive: Called with each message.
        lost: Called once, with the reason, when the driver is gone for good.
        period: Seconds between heartbeats.
        threshold: Seconds of silence after which the driver counts as lost.
    """

    def __init__(  # noqa: PLR0913 - as many facts, each from somewhere else
        self,
        address: str,
        block: str,
        *,
        proof: Proof,
        token: Token,
        receive: Callable[[ToPilot], None],
        lost: Callable[[str], None],
        period: float,
        threshold: float,
    ) -> None:
        self._address, self._receive, self._lost = address, receive, lost
        self._period, self._threshold = period, threshold
        self._loop = asyncio.get_running_loop()
        self._session = Session()
        self._codec: Codec[ToPilot] = Codec(ToPilot)
        self._heard = self._loop.time()
        self._cut = False
        self._peer: AsyncStreamConnection | AsyncTcpConnection
        own = f"{block}/{secrets.token_hex(4)}"
        if address.startswith(_LOCAL):
            path = address.removeprefix(_LOCAL)
            self._peer = AsyncStreamConnection.connect(
                path, own, token, self._loop, receive=self._hear, ended=lambda: lost(_ENDED)
            )
        else:
            self._peer = AsyncTcpConnection(
                address,
                own,
                proof,
                self._loop,
                receive=self._hear,
                connected=self._note_connection,
                hung_up=lambda: lost(_HUNG_UP),
            )
        self._tasks = [spawn(self._beat(), "heartbeat")]

    def send(self, message: FromPilot) -> None:
        """Send a message; it arrives, once, in order, even if the connection is cut meanwhile."""
        self._peer.send(self._session.send(encode(message)))  # if not now, the session does when the connection is back

    @property
    def sent(self) -> int:
        """Number of the last message."""
        return self._session.sent

    def is_behind(self, number: int) -> bool:
        """Whether the driver has much to confirm, a message among it."""
        return self._session.held > _MUCH and not self._session.has_confirmed(number)

    def close(self) -> None:
        """Close; what was sent has 2 s to leave. Idempotent."""
        for task in self._tasks:
            task.cancel()
        self._peer.close(_LINGER)

    def _hear(self, frames: list[bytes]) -> None:
        self._heard = self._loop.time()
        try:
            for body in self._session.receive(frames):
                self._receive(self._codec.decode(body))
        except MalformedFrame as problem:
            log.warning("the driver speaks out of turn: %s", problem)
            self._lost(f"the driver spoke out of turn ({problem})")
            return
        for reply in self._session.replies:
            self._peer.send(reply)
        self._session.replies.clear()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._period)
            self._peer.send(self._session.beat())
            if self._loop.time() - self._heard > self._threshold:
                self._lost(f"the driver was silent for {self._threshold:g} s")
                return

    def _note_connection(self, there: bool) -> None:
        if there:
            self._cut = False
            self._heard = self._loop.time()
            self._peer.send(self._session.beat())
        elif not self._cut:
            self._cut = True
            self._tasks.append(spawn(self._ask_whether_gone(), "probe driver"))

    async def _ask_whether_gone(self) -> None:
        """Tell a driver that ended (its host refuses the port) from a line that is cut (nobody answers)."""
        refusals = 0
        while self._cut:
            refusals = refusals + 1 if await _probe(self._address) == "refused" else 0
            if refusals >= _REFUSALS:
                self._lost(_ENDED)
                return
            await asyncio.sleep(0.5)
